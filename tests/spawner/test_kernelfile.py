"""Files of the kernel come whole, however few bytes it gives at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from fourfold.spawner import kernelfile


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 8191, 8192, 8193, 50_000])
def test_whole(tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)
    assert kernelfile.read(str(file)) == b"x" * size


def test_records_that_come_a_page_at_a_time() -> None:
    """As lines of pids do; these are many, and stay as they are."""
    crypto = Path("/proc/crypto")
    assert kernelfile.read(str(crypto)) == crypto.read_bytes()


def test_what_is_gone() -> None:
    with pytest.raises(FileNotFoundError):
        kernelfile.read("/proc/self/nothing")
