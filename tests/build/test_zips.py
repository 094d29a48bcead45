"""A source that is a zip: unpacked, or refused."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest

from fourfold.errors import UserError

from .building import build, run
from .helpers import Home

pytestmark = pytest.mark.e2e


def zipped(source: Path, members: dict[str, str], link: str | None = None) -> Path:
    source.mkdir(exist_ok=True)
    with zipfile.ZipFile(source / "app.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
        if link is not None:
            info = zipfile.ZipInfo("link")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, link)
    return source / "app.zip"


def test_a_zip_is_unpacked(home: Home, source: Path) -> None:
    archive = zipped(source, {"shop-1.0/app.py": "print('zip')", "__MACOSX/x": ""})
    assert run(build(home, archive)) == "zip"
    assert len(list(home.sources.list())) == 2, "gc keeps what was in it as long as the zip"


@pytest.mark.parametrize(
    ("members", "link", "said"),
    [
        ({"../evil": "x"}, None, "relative"),
        ({"/etc/evil": "x"}, None, "relative"),
        ({"a": "x"}, "/etc", "absolute"),
        ({"a": "x"}, "../..", "out of the source"),
        ({"bomb": "\0" * 2_000_000}, None, "more than a source may"),
    ],
)
def test_a_malicious_zip_is_refused(
    home: Home,
    source: Path,
    members: dict[str, str],
    link: str | None,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fourfold.build.unpack.MAX_BYTES", 1_000_000)
    with pytest.raises(UserError, match=said):
        build(home, zipped(source, members, link))
    assert home.left_over == []


def test_a_zip_that_lies_about_its_size_is_refused(home: Home, source: Path) -> None:
    archive = zipped(source, {"app.py": "#" * 100_000})
    raw = archive.read_bytes()
    real = (100_000).to_bytes(4, "little")
    archive.write_bytes(raw.replace(real, (10).to_bytes(4, "little")))
    with pytest.raises(UserError, match="cannot unpack"):
        build(home, archive)
    (source / "app.zip").write_bytes(io.BytesIO(b"PK no zip").getvalue())
    with pytest.raises(UserError, match="not a zip"):
        build(home, archive)
