"""Where a service file lies: on this machine, or on that of a token's holder. Pure.

Over the network a path is the client's word: nothing is read here because of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from os.path import normpath
from pathlib import PurePath

from fourfold.errors import UserError
from fourfold.spec.model import Service

_AFAR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*:")
_PLACES = ("oci:", "docker-archive:")


def afar(token: str, file: str) -> str:
    """`ci:/srv/shop/fourfold.yaml`, as scp writes it: a path where the holder of that token is."""
    return f"{token}:{file}"


def is_here(file: str) -> bool:
    return _AFAR.match(file) is None


def beside(file: str, name: str) -> str:
    """Where a file is that the service file names."""
    if is_here(file):
        return normpath(PurePath(file).parent / name)
    token, _, path = file.partition(":")
    return afar(token, beside(path, name))


def refuse_places(name: str, spec: Service) -> None:
    """Raises UserError for images in files and folders of the machine that builds."""
    for what, reference in _images(spec):
        if reference is not None and reference.startswith(_PLACES):
            raise UserError(
                f"cannot build {name}: its {what} {reference!r} names a place on the machine that builds",
                "name it in a registry: docker://HOST/NAME:TAG",
            )


def _images(spec: Service) -> Iterator[tuple[str, str | None]]:
    yield from (("image", spec.image), ("base", spec.container.base), ("base", spec.vm.base))
