"""`--save`: what a command changed, written into the service file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from fourfold.cli.printing import output
from fourfold.cli.session import Session
from fourfold.cli.upload import load_file
from fourfold.errors import NotFoundError, UserError
from fourfold.spec.edit import with_value
from fourfold.spec.files import shown
from fourfold.spec.load import Loaded
from fourfold.spec.yaml import yaml
from fourfold.spec.yaml.node import dotted
from fourfold.store.files.sources import write_atomically

BOM = "\ufeff"


def saving(session: Session, service: str, key: str, value: int | str) -> Callable[[], None]:
    """What writes it. Raises UserError when it cannot be written, before anything was asked for."""
    loaded = load_file(session)
    path = ("groups" if service in loaded.app.groups else "services", service, key)
    if service not in loaded.app.everything:
        known = ", ".join(loaded.app.everything)
        raise NotFoundError(f"cannot save {dotted(path)}: services in {shown(loaded.file)} are {known}")
    _refuse_overlays(loaded, path)
    target = loaded.file.resolve()
    if not os.access(target.parent, os.W_OK):
        raise UserError(f"cannot save {dotted(path)}: nothing may be written in {target.parent}")
    _edited(loaded, target, path, value)

    def save() -> None:
        before, after = _edited(loaded, target, path, value)
        if before == after:
            output.say(f"{shown(loaded.file)} has {dotted(path)}: {value} already", session.options)
            return
        _write(target, after.encode())
        output.say(f"wrote {dotted(path)}: {value} into {shown(loaded.file)}", session.options)

    return save


def _refuse_overlays(loaded: Loaded, path: tuple[str, ...]) -> None:
    for overlay in loaded.files[1:]:
        name = shown(overlay)
        if (node := yaml.read(yaml.decode(overlay.read_bytes(), name), name).get(path)) is not None:
            raise UserError(
                f"cannot save {dotted(path)} in {shown(loaded.file)}: {name} has it too, and wins",
                f"change it in {name}, line {node.place.line}",
            )


def _edited(loaded: Loaded, target: Path, path: tuple[str, ...], value: int | str) -> tuple[str, str]:
    """The file's text, before and after."""
    name = shown(loaded.file)
    data = target.read_bytes()
    text = yaml.decode(data, name)
    mark = BOM if data.startswith(BOM.encode()) else ""
    return mark + text, mark + with_value(text, name, path, value)


def _write(target: Path, content: bytes) -> None:
    """With the mode and the owner that the file has."""
    status = target.stat()
    write_atomically(target, content, stat.S_IMODE(status.st_mode))
    if os.geteuid() == 0:
        os.chown(target, status.st_uid, status.st_gid)
