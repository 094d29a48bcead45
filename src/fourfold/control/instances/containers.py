"""What the launchers of containers and virtual machines must know of an image and of this host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fourfold.launch.common import ImageFacts
from fourfold.launch.model import Bridge, Forwarded
from fourfold.store.files.artifacts import Image
from fourfold.supervise.containers import kernel, read_profile
from fourfold.supervise.network.hostnames import read_host_names

_MOST = 1024 * 1024
"""Bytes of a passwd or group file that are read."""


def image_facts(
    image: Image,
    layers: Sequence[Path],
    bridge: Bridge | None,
    forwarded: Forwarded | None = None,
    confined: bool = True,
) -> ImageFacts:
    """`layers`: its folders, lowest first. UserError: no seccomp profile to confine it by is installed."""
    return ImageFacts(
        layers=tuple(map(str, layers)),
        passwd=read_file(layers, "etc", "passwd"),
        group=read_file(layers, "etc", "group"),
        profile=read_profile() if confined else {},
        machine=os.uname().machine,
        kernel=kernel(),
        names=read_host_names(),
        bridge=bridge,
        forwarded=forwarded,
        env=image.env,
        user=image.user,
        cwd=image.cwd,
        stop_signal=image.stop_signal,
    )


def read_file(layers: Sequence[Path], folder: str, name: str) -> str:
    """As the uppermost layer has it; empty: none has. Links are not followed: images are not ours to trust."""
    for layer in reversed(layers):
        with suppress(OSError):
            root = os.open(layer / folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=root)
            finally:
                os.close(root)
            with os.fdopen(fd, "rb") as file:
                return file.read(_MOST).decode(errors="replace")
    return ""
