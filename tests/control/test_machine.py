"""What the daemon says of itself."""

from __future__ import annotations

import pytest

from fourfold.control.requests import machine


def test_whose_it_is_does_not_depend_on_the_environment_and_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    assert machine._user(0) == "root"
    assert machine._user(4_294_967_290) == "uid 4294967290"
