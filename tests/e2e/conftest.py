"""One conformance suite for all patterns: tests of the modules below run under each, unchanged."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.home import PARTS, Home, web_file
from tests.support.netns import INSIDE

PATTERNS = ("process", "shared", "container", "vm", "function")
WITH_IMAGES = ("container", "vm")
CONFORMANCE = ("test_zero_loss", "test_faults", "test_failed_deploys", "test_neighbours", "test_health", "test_secrets")


IN_EVERY_RUN: dict[str, dict[str, tuple[str, ...]]] = {
    "vm": {
        "test_zero_loss": ("test_rolling_deploy_and_rollback", "test_the_daemon_is_killed_and_started_again"),
        "test_faults": ("test_the_spawner_is_killed", "test_both_daemon_and_spawner_are_killed"),
        "test_failed_deploys": (
            "test_the_old_version_serves_on[vm-crashes]",
            "test_the_old_version_serves_on[vm-listens elsewhere]",
        ),
        "test_neighbours": ("test_a_memory_hog_is_killed_alone_and_named",),
        "test_health": ("test_a_health_command_is_run_inside",),
        "test_moving": ("test_there_and_back",),
        "test_secrets": ("test_only_the_instance_has_it",),
        "test_handlers": (),
        "test_upgrade": (),
        "test_backup": (),
    },
    "container": {"test_upgrade": (), "test_backup": ()},
    "function": {
        "test_zero_loss": ("test_rolling_deploy_and_rollback", "test_the_daemon_is_killed_and_started_again"),
        "test_faults": ("test_one_of_two_instances_is_killed", "test_both_daemon_and_spawner_are_killed"),
        "test_failed_deploys": ("test_the_old_version_serves_on[function-crashes]",),
        "test_moving": ("test_there_and_back",),
        "test_upgrade": (),
        "test_backup": (),
    },
    "shared": {
        "test_zero_loss": ("test_rolling_deploy_and_rollback",),
        "test_faults": ("test_both_daemon_and_spawner_are_killed",),
        "test_failed_deploys": ("test_the_old_version_serves_on[shared-takes too much memory]",),
        "test_moving": ("test_there_and_back",),
        "test_health": (),
        "test_upgrade": (),
        "test_backup": (),
    },
}
"""Of the conformance suite, under a pattern: without KVM a machine boots in seconds, and what a function's sandboxes
promise of their own has its tests in test_functions. The others wait for `bin/test --all`."""


NOT_OF_MEMBERS: dict[str, str] = {
    "test_scale_up_and_down": "one of a member runs in each instance of its group, which is what is scaled",
    "test_after_a_reboot_everything_comes_back_in_order": "a secret of a member needs allow_shared",
    "test_a_foreign_process_is_never_signalled": "the process of a member is its host's to know",
    "test_the_old_version_serves_on[shared-dies by a signal]": "a member of a Node.js group is a script of Node.js",
    "test_the_old_version_serves_on[shared-has no such command]": "likewise: another command is refused beforehand",
    "test_a_dependent_is_not_deployed_when_what_it_needs_failed": "likewise, of its dependent",
    "test_a_health_command_is_run_inside": "a member has no volumes, which this test uses",
}
"""Tests of the suite that a member of a group cannot pass, and why: docs/shared.md has them all."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if not _is_an_exception(item)]
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker("e2e")
            pattern = _pattern_of(item)
            if pattern in IN_EVERY_RUN and not _is_in_every_run(item, IN_EVERY_RUN[pattern]):
                item.add_marker("full")


def _is_an_exception(item: pytest.Item) -> bool:
    names = (item.name, item.name.partition("[")[0])
    return "tests/e2e" in str(item.path) and _pattern_of(item) == "shared" and any(n in NOT_OF_MEMBERS for n in names)


def _pattern_of(item: pytest.Item) -> str:
    if hasattr(item, "callspec") and "pattern" in item.callspec.params:
        return str(item.callspec.params["pattern"])
    wanted = item.get_closest_marker("patterns")
    return str(wanted.args[0]) if wanted else ""


def _is_in_every_run(item: pytest.Item, sample: dict[str, tuple[str, ...]]) -> bool:
    wanted = sample.get(item.path.stem)
    return wanted is None or any(name in (item.name, item.name.partition("[")[0]) for name in wanted)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A daemon with containers changes routes and rules: not those of whoever runs tests."""
    if item.get_closest_marker("containers") and INSIDE not in os.environ:
        pytest.fail("needs a network of its own: python -m tests.support.netns -- pytest -m containers …")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure that does not come again is understood by what happened before it."""
    report = yield
    home = getattr(item, "funcargs", {}).get("home")
    if report.when == "call" and report.failed and isinstance(home, Home):
        report.sections.append(("What happened", home.story()))
    return report


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pattern" not in metafunc.fixturenames:
        return
    wanted = metafunc.definition.get_closest_marker("patterns")
    everywhere = metafunc.module.__name__.rpartition(".")[2] in CONFORMANCE
    patterns = wanted.args if wanted else PATTERNS if everywhere else ("process",)
    on_host = ("process", "shared")
    marked = [pytest.param(each, marks=[] if each in on_host else [pytest.mark.containers]) for each in patterns]
    metafunc.parametrize("pattern", marked, indirect=True, scope="function")


@pytest.fixture
def pattern(request: pytest.FixtureRequest) -> str:
    """What `web_file` runs as."""
    return str(request.param)


@pytest.fixture
def home(pattern: str, request: pytest.FixtureRequest) -> Iterator[Home]:
    made = Home(pattern=pattern)
    try:
        if pattern in WITH_IMAGES:
            made.take_images(request.getfixturevalue("images"))
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def images(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what the test service stands on, made once, whoever of the workers comes first: a base, and what
    its virtual machines boot. The last one removes it.
    """
    pattern = "vm" if any(_pattern_of(item) == "vm" for item in request.session.items) else "container"
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    kept = shared / "images"
    with (shared / "making").open("w") as making, (shared / "using").open("w") as using:
        fcntl.flock(making, fcntl.LOCK_EX)
        if not kept.exists():
            _make_images(pattern, kept)
        fcntl.flock(using, fcntl.LOCK_SH)
        fcntl.flock(making, fcntl.LOCK_UN)
        try:
            yield kept
        finally:
            with suppress(BlockingIOError):  # somebody uses it still
                fcntl.flock(using, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(kept, ignore_errors=True)


def _make_images(pattern: str, kept: Path) -> None:
    maker = Home(pattern=pattern)
    made = Path(tempfile.mkdtemp(prefix="images-", dir=kept.parent))
    try:
        maker.run("up", "-f", str(maker.app(web_file(maker.port))), patience=600)
        for name in PARTS:
            if (there := maker.state / name).exists():
                shutil.move(there, made / name)
        made.rename(kept)
    finally:
        maker.close()
