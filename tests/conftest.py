"""For all tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

settings.register_profile("any machine", deadline=None)  # how long an example takes depends on what else runs
settings.load_profile("any machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """With `--dist loadscope`, only tests of a module that makes something for all of them (a base, a daemon) run one
    after the other on one worker, so that it is made once; all others wherever there is time.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return module if _makes_something(config.rootpath / module) else nodeid

    return Together(config, log) if config.getvalue("dist") == "loadscope" else None


@cache
def _makes_something(module: Path) -> bool:
    return 'scope="module"' in module.read_text()
