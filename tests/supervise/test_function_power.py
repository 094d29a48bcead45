"""Whether there can be sandboxes follows from what else this host lets us do."""

from __future__ import annotations

from pathlib import Path

import pytest

from fourfold.supervise import powers


@pytest.mark.parametrize(
    ("uid", "missing", "nested", "groups", "most", "expected"),
    [
        (0, {}, False, True, "1000", None),
        (0, {"cpu": "x", "memory": "y"}, False, True, "1000", None),
        (0, {"network": "nft is not installed"}, False, True, "1000", "nft is not installed"),
        (0, {}, False, False, "1000", "control groups keep sandboxes apart"),
        (0, {}, False, True, "0", "user namespaces are switched off"),
        (0, {}, True, True, "1000", "only root can make sandboxes"),
        (1000, {}, False, True, "1000", "only root can make sandboxes"),
    ],
)
def test_why_there_are_no_functions(
    uid: int, missing: dict[str, str], nested: bool, groups: bool, most: str, expected: str | None,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    file = tmp_path / "max_user_namespaces"
    file.write_text(most)
    monkeypatch.setattr(powers, "MOST_NAMESPACES", file)
    monkeypatch.setattr("os.geteuid", lambda: uid)
    why = powers._functions(missing, nested, groups)
    assert why is None if expected is None else why is not None and expected in why
