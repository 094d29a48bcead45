"""For all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # how long an example takes depends on what else runs
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup`, tests that use what their module has made (a base, a daemon) run one after the other on
    one worker: the others need not make it again.
    """
    for item in items:
        if isinstance(item, pytest.Function) and _shares_with_its_module(item):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


def _shares_with_its_module(item: pytest.Function) -> bool:
    """Of fixtures of the same name, the last one is used."""
    return any(found[-1].scope == "module" for found in item._fixtureinfo.name2fixturedefs.values())
