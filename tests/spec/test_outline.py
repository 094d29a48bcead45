"""The outline of a service file, and what it is told to be when it is judged."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from fourfold.errors import SpecError
from fourfold.spec.outline import outline

TEXT = "app: shop\nservices:\n  web: {source: ./gone, run: x}\n"


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """`-f <(make-it)`: there is nothing in it any more when it is judged."""
    os.mkfifo(pipe := tmp_path / "pipe")
    writer = threading.Thread(target=pipe.write_text, args=(TEXT,))
    writer.start()
    found = outline(pipe, env=None, environ={}, needed=None)
    writer.join()
    assert list(found.services) == ["web"]
    with pytest.raises(SpecError, match=r"services.web.source: .*/gone is not there"):
        found.judge()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("app: shop\nservices:\n\tweb: {}\n", r"3:1: .*a tab"),
        ("app: shop\nservices: {web: {source: [x]}}\n", r"2:\d+: services.web.source: expected a path"),
        ("app: shop\n", "`services` is missing"),
        ("", "is empty"),
    ],
)
def test_what_is_no_good_at_first_sight(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "fourfold.yaml").write_text(text)
    with pytest.raises(SpecError, match=what):
        outline(tmp_path / "fourfold.yaml", env=None, environ={})
