"""What an `up` would do to one service, and why."""

from __future__ import annotations

from dataclasses import replace

from fourfold.control.changes import Wish, change_of
from fourfold.spec.fingerprint import fingerprint
from fourfold.spec.model import Service
from tests.control.rig import Rig, rigged
from tests.store.samples import release, service_row

SERVICE = Service.model_validate({"source": "./x", "run": "x"})
WISH = Wish("web", SERVICE, "source", "")


def deployed(rig: Rig) -> None:
    made = release("web", 2, spec=fingerprint(SERVICE), source="source", artifact="artifact")
    with rig.registry.transaction():
        rig.registry.add_release(made)
        rig.registry.put_service(service_row("web", release=2))


@rigged
async def test_nothing(rig: Rig) -> None:
    deployed(rig)
    change = change_of(rig.registry, "shop", WISH, lambda artifact: artifact == "artifact")
    assert (change.kind, change.build) == ("keep", False)


@rigged
async def test_what_was_built_is_lost(rig: Rig) -> None:
    deployed(rig)
    change = change_of(rig.registry, "shop", WISH, lambda artifact: False)
    assert (change.kind, change.build, change.reasons) == ("deploy", True, ("what was built of it is lost",))


@rigged
async def test_it_is_to_be_built_again(rig: Rig) -> None:
    deployed(rig)
    change = change_of(rig.registry, "shop", replace(WISH, rebuild=True), lambda artifact: True)
    assert (change.kind, change.build, change.reasons) == ("deploy", True, ("built again",))
