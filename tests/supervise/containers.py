"""Containers to try things in: a root whose /usr is the host's, launched as services are."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fourfold.launch import container
from fourfold.launch.common import Facts, ImageFacts
from fourfold.launch.model import Launch
from fourfold.launch.names import HostNames
from fourfold.paths import Paths
from fourfold.spec.model import Service
from fourfold.supervise.containers import kernel, read_profile
from fourfold.supervise.spawner.bundles import homes
from tests.supervise.rig import SERVICE, Rig, is_root, powers, until
from tests.support.mounts import mounts_of

PATH = "/usr/bin:/bin"


def needs_runtime(name: str = "runc") -> pytest.MarkDecorator:
    """bin/test installs all but gVisor."""
    reason = powers().missing.get(name) or powers().missing.get("containers", "no containers here")
    absent = not is_root or (name == "runsc" and name not in powers().runtimes)
    return pytest.mark.skipif(absent, reason=reason)


def image(rig: Rig, **fields: Any) -> ImageFacts:
    layer = rig.paths.state / "layer"
    if not layer.exists():
        for name in ("bin", "lib", "lib64", "sbin"):
            layer.mkdir(exist_ok=True)
            (layer / name).symlink_to(f"usr/{name}")
        (layer / "etc").mkdir()
        layer.chmod(0o755)
    facts = ImageFacts(
        layers=(str(layer),),
        passwd="root:x:0:0:root:/root:/bin/sh\nweb:x:777:778::/home/web:/bin/sh\n",
        group="root:x:0:\nweb:x:778:\nmore:x:779:web\n",
        profile=read_profile(),
        machine=os.uname().machine,
        kernel=kernel(),
        names=HostNames("", "nameserver 192.0.2.1\n"),
        bridge=None,
    )
    return replace(facts, **fields)


def boxed(
    rig: Rig, instance: str, *argv: str, image_fields: dict[str, Any] | None = None, tree: str = "", **service: Any
) -> Launch:
    facts = Facts(
        app="a",
        service="b",
        instance=instance,
        release=1,
        tree=tree,
        argv=argv,
        artifact_env={},
        powers=rig.powers,
        user=SERVICE,
        port=None,
        volumes={each["name"]: str(volume(rig, each["name"])) for each in service.get("volumes", ())},
        image=image(rig, **{"cwd": "/", **(image_fields or {})}),
    )
    made = container.launch(Service.model_validate(service), facts)
    assert made.bundle is not None
    usr = {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}
    config = {**made.bundle.config, "mounts": [*made.bundle.config["mounts"], usr]}
    return replace(made, bundle=replace(made.bundle, config=config))


def volume(rig: Rig, name: str) -> Path:
    folder = rig.paths.state / "volumes" / name
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, SERVICE.uid, SERVICE.gid)
    return folder


async def run(rig: Rig, instance: str, *argv: str, **fields: Any) -> tuple[Any, list[str]]:
    """Start it, wait for its end. -> the exit and everything it wrote."""
    await rig.start(boxed(rig, instance, *argv, **fields), {"K": "s3cret"}, 1)
    return await rig.exit_of(instance), rig.lines(instance)


def traces(paths: Paths) -> dict[str, Any]:
    """What instances of a home leave in the kernel and on disk while they are there."""
    name = sha256(os.fsencode(paths.run.absolute())).hexdigest()[:12]
    trees = ("fourfold", "*/fourfold")
    found = (path for tree in trees for path in Path("/sys/fs/cgroup").glob(f"{tree}/{name}/*"))
    groups = {str(path) for path in found if path.is_dir()}
    mounts = mounts_of(paths.state.parent)
    left = {str(path) for folder in homes(paths.containers) if folder.is_dir() for path in folder.iterdir()}
    return {"groups": groups, "mounts": mounts, "folders": left, "namespaces": _namespaces(paths)}


def _namespaces(paths: Paths) -> set[str]:
    """Of processes that have to do with this home: their own, or their mounts."""
    found: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(paths.state.parent) in (process / "mountinfo").read_text():
                found.update(str(each.readlink()) for each in (process / "ns").iterdir())
    return found


def leaves_no_trace(test: Any) -> Any:
    """Groups, mounts, namespaces and folders are as before."""

    async def checked(rig: Rig) -> None:
        await until(lambda: not rig.groups(), "what its start tried is left")
        before = traces(rig.paths)
        await test(rig)
        await asyncio.gather(*(rig.kill(name) for name in rig.running()))
        with suppress(AssertionError):
            await until(lambda: traces(rig.paths) == before, "something was left")
        assert (after := traces(rig.paths)) == before, f"left: {after}; before: {before}"

    return checked
