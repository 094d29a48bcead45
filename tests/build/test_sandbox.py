"""What a build step can see and do, as command lines: no host needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.build.model import Step
from fourfold.build.registry import copy_home, find_registry
from fourfold.build.result import link_stays
from fourfold.build.sandbox import _AFTER_OTHERS, Bounds, Box, Mode, Registry, step_argv, step_env

BOX = Box(
    mode="root",
    tree=Path("/state/work/b/tree"),
    cache=Path("/state/caches/shop.web/downloads"),
    files=Path("/state/work/b/files"),
    uid=799999,
    gid=799999,
    tools={"uv": "/opt/ff/bin/uv"},
    registry=Registry({"PIP_INDEX_URL": "https://me:pw@mirror/simple"}, ("/srv/wheels",)),
    bounds=Bounds(processes=100, data=200, file=300),
)
OFFLINE, ONLINE = Step(("make", "all")), Step(("uv", "sync"), network=True)


def pairs(argv: list[str], option: str) -> dict[str, str]:
    return {argv[index + 2]: argv[index + 1] for index, word in enumerate(argv) if word == option}


def test_root_becomes_the_builds_user_inside() -> None:
    argv = step_argv(OFFLINE, BOX)
    inside = argv[argv.index("--") + 1 :]
    assert inside == [
        "/usr/bin/setpriv", "--reuid=799999", "--regid=799999", "--clear-groups", "--no-new-privs",
        "/bin/sh", "-c", _AFTER_OTHERS, "sh",
        "/usr/bin/nice", "-n", "10",
        "/usr/bin/prlimit", "--nproc=100", "--data=200", "--fsize=300", "--core=0", "--", "make", "all",
    ]  # fmt: skip
    assert "--unshare-user" not in argv


def test_without_root_a_user_namespace_does() -> None:
    argv = step_argv(OFFLINE, replace(BOX, mode="user", uid=0))
    assert "--unshare-user" in argv
    assert not any("setpriv" in word for word in argv)


@pytest.mark.parametrize(("step", "cut"), [(OFFLINE, True), (ONLINE, False)])
def test_the_network_is_for_steps_that_fetch_only(step: Step, cut: bool) -> None:
    argv = step_argv(step, BOX)
    assert ("--unshare-net" in argv) is cut
    assert ("/etc/resolv.conf" in argv) is not cut
    assert ("/srv/wheels" in argv) is not cut
    assert ("PIP_INDEX_URL" in step_env(step, BOX)) is not cut
    assert not any("pw@mirror" in word for word in argv), "passwords never stand in a command line"


def test_certificates_below_etc_are_shown_beside_a_root_that_is_not_the_hosts() -> None:
    env = {
        "SSL_CERT_FILE": "/etc/pki/ca.pem",
        "UV_INDEX": "https://a file:///usr/pypi/simple",
        "X": "/etc/pki/ca",
    }
    box = replace(BOX, registry=Registry(env, ("/etc/pki/ca.pem", "/usr/pypi")))
    shown = pairs(step_argv(ONLINE, box), "--ro-bind-try")
    assert shown["/host/etc/pki/ca.pem"] == "/etc/pki/ca.pem"
    told = step_env(ONLINE, box)
    assert told["SSL_CERT_FILE"] == "/host/etc/pki/ca.pem"
    assert told["UV_INDEX"] == "https://a file:///host/usr/pypi/simple"
    assert told["X"] == "/etc/pki/ca"
    assert step_env(ONLINE, replace(box, mode="none"))["SSL_CERT_FILE"] == "/etc/pki/ca.pem"


def test_only_the_tree_the_cache_and_the_builds_own_home_can_be_written() -> None:
    for step in (OFFLINE, ONLINE):
        argv = step_argv(step, BOX)
        writable = pairs(argv, "--bind")
        assert writable.pop("/home/build", None) in (None, "/state/work/b/files/home")
        assert writable == {"/app": "/state/work/b/tree", "/cache": "/state/caches/shop.web/downloads"}
        shown = {**pairs(argv, "--ro-bind"), **pairs(argv, "--ro-bind-try")}
        assert not [path for path in shown if path.startswith(("/home", "/root", "/var", "/run", "/state"))]
        assert shown["/tools/uv"] == "/opt/ff/bin/uv"
        assert {"--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts"} <= set(argv)


@pytest.mark.parametrize("step", [OFFLINE, ONLINE])
def test_what_is_memory_inside_is_bounded(step: Step) -> None:
    argv = step_argv(step, replace(BOX, bounds=Bounds(scratch=7000, shared=500)))
    places = [argv[index - 4 : index + 2] for index, word in enumerate(argv) if word == "--tmpfs"]
    sizes = {place[-1]: place[-3] for place in places if place[-4] == "--size"}
    assert len(sizes) == len(places)
    assert sizes == {"/tmp": "7000", "/dev/shm": "500", **({} if step.network else {"/home/build": "7000"})}


@pytest.mark.parametrize("mode", ["root", "user", "none"])
def test_control_groups_are_joined_before_anything_else(mode: Mode) -> None:
    argv = step_argv(OFFLINE, replace(BOX, mode=mode, groups=("/cg/memory/x", "/cg/cpu/x")))
    assert argv[:2] == ["/bin/sh", "-c"] and argv[3:7] == ["sh", "/cg/memory/x", "/cg/cpu/x", "--"]
    assert argv[7:] == step_argv(OFFLINE, replace(BOX, mode=mode))


def test_without_any_namespace_places_are_real_ones() -> None:
    box = replace(BOX, mode="none")
    step = Step(("tool", "/app/x"), env={"GEMS": "/app/vendor:/cache/y:/apple"})
    assert step_argv(step, box)[-2:] == ["tool", "/state/work/b/tree/x"]
    assert step_env(step, box)["GEMS"] == "/state/work/b/tree/vendor:/state/caches/shop.web/downloads/y:/apple"


def test_the_builds_own_runtime_comes_before_the_systems() -> None:
    path = step_env(OFFLINE, replace(BOX, path=("/home/me/.nvm/v22/bin",)))["PATH"].split(":")
    assert path.index("/home/me/.nvm/v22/bin") < path.index("/usr/bin")
    assert "" not in path


def test_what_pip_is_told_is_said_to_uv(tmp_path: Path) -> None:
    wheels, index = tmp_path / "wheels", tmp_path / "mirror/simple"
    wheels.mkdir()
    index.mkdir(parents=True)
    conf = tmp_path / "home/.config/pip/pip.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(
        f"[global]\nindex-url = https://a/simple\nfind-links = {wheels}\nextra-index-url =\n  file://{index}\n  https://b\n"
    )
    found = find_registry({"PIP_CERT": "/etc/ssl/x.pem", "AWS_SECRET": "s"}, tmp_path / "home", tmp_path / "etc")
    assert found.env == {
        "PIP_CERT": "/etc/ssl/x.pem",
        "SSL_CERT_FILE": "/etc/ssl/x.pem",
        "UV_DEFAULT_INDEX": "https://a/simple",
        "UV_INDEX": f"file://{index} https://b",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": str(wheels),
        **{name: value for name, value in found.env.items() if name == "NODE_EXTRA_CA_CERTS"},
    }
    assert {str(wheels), str(index.parent)} <= set(found.binds)


def test_uvs_own_settings_win_over_pips(tmp_path: Path) -> None:
    found = find_registry({"PIP_INDEX_URL": "https://a", "UV_INDEX_URL": "https://b"}, tmp_path, tmp_path)
    assert found.env["UV_INDEX_URL"] == "https://b"
    assert "UV_DEFAULT_INDEX" not in found.env


def test_configuration_that_one_user_may_read_is_copied(tmp_path: Path) -> None:
    (tmp_path / ".npmrc").write_text("registry=https://mirror/")
    (tmp_path / ".npmrc").chmod(0o600)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id").write_text("key")
    copy_home({}, tmp_path, tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").rglob("*")] == [".npmrc"]


@pytest.mark.parametrize(
    ("name", "target", "stays"),
    [
        (".venv/bin/python", "/usr/bin/python3.11", True),
        ("a", "/app/b", True),
        ("a", "/app/../etc/shadow", False),
        ("a", "/usr/../root", False),
        ("a", "/etc/passwd", False),
        ("a", "..", False),
        ("d/a", "../b", True),
        ("d/a", "../../b", False),
        ("d/a", "x/../../../b", False),
        ("a", "/apple", False),
        ("a", "/app", True),
        ("a", "/dev/null", True),
        ("a", "b/s/../..", False),
        ("a", "/app/b/s/../../etc", False),
        ("a", "/home/me/.pyenv/versions/3.12/bin/python3.12", True),
        ("a", "/home/me/.pyenv/versions/3.12/bin/../../../../.ssh/id", False),
        ("a", "/home/me/.ssh/id", False),
    ],
)
def test_links_of_a_result_stay_inside(name: str, target: str, stays: bool) -> None:
    assert link_stays(name, target, {"/home/me/.pyenv/versions/3.12/bin"}) is stays
