"""The gateway's folder on disk: configuration, maps and certificates, never half-written."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fourfold.errors import WorldError
from fourfold.gateway.render import CONFIG, Rendered
from fourfold.store.files.sources import write_atomically

_OURS = re.compile(
    r"(hosts|wildcards|paths|methods|users)-[0-9a-f]{12}\.map|page-[0-9a-f]{12}\.txt|cert-[0-9a-f]{24}\.pem"
)


def certificate_name(content: bytes) -> str:
    """Named by content: a renewed certificate at the same path is a change, and HAProxy keeps its own copy."""
    return f"cert-{hashlib.sha256(content).hexdigest()[:24]}.pem"


@dataclass(frozen=True)
class Folder:
    """Everything that HAProxy reads, under names that do not change their content, but for `haproxy.cfg` itself."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / CONFIG

    def cookie_key(self) -> str:
        """The same for ever: another one would send every client of a sticky route elsewhere."""
        file = self.path / "cookie.key"
        if not file.exists():
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(file, secrets.token_hex(16).encode())
        return file.read_text()

    def text(self) -> str | None:
        try:
            return self.config.read_text()
        except FileNotFoundError:
            return None

    def write(self, rendered: Rendered, certificates: Mapping[str, bytes]) -> None:
        """What the configuration refers to first, the configuration last: it is good at every moment."""
        with _refused(self.path):
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in contents(rendered, certificates).items():
            target = self.path / name
            if name != CONFIG and target.exists():
                continue
            if name == CONFIG and self.text() == rendered.text:
                continue
            _write(target, content)

    def restore(self, text: str) -> None:
        _write(self.config, text.encode())

    def tidy(self, rendered: Rendered, certificates: Mapping[str, bytes]) -> None:
        """Remove maps and certificates that no configuration refers to any more (workers read theirs at start only)."""
        keep = contents(rendered, certificates).keys()
        for entry in self.path.iterdir():
            if _OURS.fullmatch(entry.name) and entry.name not in keep:
                entry.unlink(missing_ok=True)

    @contextmanager
    def trial(self, rendered: Rendered, certificates: Mapping[str, bytes]) -> Iterator[Path]:
        """A folder that holds the same files, for `haproxy -c`; gone afterwards."""
        with _refused(self.path):
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder = Path(tempfile.mkdtemp(prefix="check-", dir=self.path))
        try:
            with _refused(self.path):
                for name, content in contents(rendered, certificates).items():
                    (folder / name).write_bytes(content)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def contents(rendered: Rendered, certificates: Mapping[str, bytes]) -> dict[str, bytes]:
    """File name -> content, `haproxy.cfg` last."""
    maps = {name: text.encode() for name, text in rendered.maps.items()}
    return {**maps, **certificates, CONFIG: rendered.text.encode()}


def fingerprint(text: str) -> str:
    """As `render` wrote it into a configuration; empty: it is none of these."""
    for line in text.splitlines():
        if line.startswith("  description "):
            return line.split()[1]
    return ""


def _write(target: Path, content: bytes) -> None:
    write_atomically(target, content, 0o600)


@contextmanager
def _refused(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"cannot write the gateway's configuration in {folder}: {error.strerror}"
        raise WorldError(what, "make room on the disk; it is tried again") from error
