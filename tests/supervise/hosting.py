"""A rig with a tiny host in it, and guests for that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fourfold.launch.model import Launch, Listen, Mount, Stop
from fourfold.supervise.model import Identity
from tests.supervise import tinyhost
from tests.supervise.rig import PYTHON, Rig, until

HOST = "shop.web-1-aaaa"
GUEST = "shop.cart-1-bbbb"
OTHER = "shop.list-1-cccc"


def host_launch(rig: Rig, name: str = HOST, run: int = 1, **fields: Any) -> Launch:
    folder = str(rig.paths.hosts / f"{name}.{run}")
    private = rig.powers.private
    plain = rig.launch(name, PYTHON, "-I", "-S", "-c", Path(tinyhost.__file__).read_text())
    env = {**plain.env, "FOURFOLD_HOST": json.dumps({"folder": "/guests" if private else folder})}
    mounts = (Mount(folder, "/guests"),) if private else ()
    return replace(plain, **{"env": env, "mounts": mounts, "guests": folder, **fields})


def guest_launch(rig: Rig, *argv: str, name: str = GUEST, host: str = HOST, run: int = 1, **fields: Any) -> Launch:
    tree = rig.paths.artifacts / "tree"
    if not tree.exists():
        tree.mkdir(parents=True)
        (tree / "file").write_text("of the artifact")
        (tree / "file").chmod(0o444)
    folder = "/guests" if rig.powers.private else str(rig.paths.hosts / f"{host}.{run}")
    where = f"{folder}/{name}"
    plain = Launch(
        name,
        argv,
        env={"PATH": "/usr/bin:/bin", "NAME": "value"},
        cwd=where,
        mounts=(Mount(str(tree), where, read_only=True),),
        listen=Listen("127.0.0.1", 4000),
        stop=Stop("TERM", 3.0),
        host=host,
    )
    return replace(plain, **fields)


async def host(rig: Rig, run: int = 1, **fields: Any) -> Identity:
    """One that answers."""
    identity = await rig.start(host_launch(rig, run=run, **fields), {}, run)
    found = rig._guests._hosts.get(HOST)
    assert found is not None
    await until(found.linked.is_set, f"the host did not answer: {rig.lines(HOST, run)}")
    return identity


async def guest(rig: Rig, *argv: str, run: int = 1, **fields: Any) -> Identity:
    return await rig.start(guest_launch(rig, *argv, **fields), {}, run)


@contextmanager
def shorter(module: Any, **seconds: float) -> Iterator[None]:
    """Constants of a module, for as long as this lasts."""
    before = {name: getattr(module, name) for name in seconds}
    for name, value in seconds.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
