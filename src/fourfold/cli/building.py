"""What `build` does: send, ask, follow, and then take what was built."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fourfold.cli.imagefile import STDOUT, check_place, write_image
from fourfold.cli.moving import Pattern, moved
from fourfold.cli.operation import see_through
from fourfold.cli.options import Output
from fourfold.cli.printing import output
from fourfold.cli.printing.formats import count, size
from fourfold.cli.printing.progress import Progress, progress
from fourfold.cli.printing.steps import Steps
from fourfold.cli.session import Session
from fourfold.cli.upload import load_file, pack_all, request, send_all, sources
from fourfold.errors import UserError
from fourfold.spec.outline import of

if TYPE_CHECKING:
    from fourfold.control.views import ArtifactView, ImageView, OperationView

REGISTRY = "registry:"
IMAGES = ("oci", "docker-archive")
DISKS = ("raw", "qcow2", "vmdk", "vdi", "vhd", "ova")
ZIP = "zip"
NEXT = {
    "container": "--format oci, docker-archive or registry:… makes an image of it",
    "vm": f"--format {', '.join(DISKS[:-1])} or {DISKS[-1]} makes an image of it",
    "function": "--format zip makes a zip for AWS Lambda of it",
}


@dataclass(frozen=True)
class Target:
    """Where an image goes: to a registry, or to a place of the user's."""

    reference: str | None = None
    place: str = ""
    folder: bool = False
    disk: str | None = None
    """Its format, where it is one file: a machine's disk, or a function's zip."""


def target_of(form: str, to: str | None, service: str) -> Target:
    """From `--format` and `--to`. Raises UserError for what is none."""
    if form.startswith(REGISTRY):
        if to is not None:
            raise UserError("cannot use --to with a registry: nothing is written here", "leave one of them out")
        if not (reference := form.removeprefix(REGISTRY)):
            raise UserError("cannot push: --format registry: names no image", "such as registry:localhost:5000/web:1")
        return Target(reference)
    if form not in (*IMAGES, *DISKS, ZIP):
        known = (
            f"{', '.join(IMAGES)} and registry:HOST/NAME:TAG; of virtual machines {', '.join(DISKS)}; of functions zip"
        )
        near = get_close_matches(form.lower(), (*DISKS, *IMAGES, ZIP), 1)
        hint = f"did you mean {near[0]}? The formats" if near else "the formats"
        kind, _, place = form.partition(":")
        if place and kind in (*IMAGES, *DISKS, ZIP):
            hint = f"say `--format {kind} --to {place}`; the formats"
        raise UserError(f"cannot make an image in format {form!r}", f"{hint} are {known}")
    if to == "":
        raise UserError("cannot write the image: --to names no place", "name a file, or leave --to out")
    if form in (*DISKS, ZIP):
        found = Target(place=to or f"{service}.{form}", disk=form)
    else:
        place = to or (f"{service}-image" if form == "oci" else f"{service}.tar")
        found = Target(place=place, folder=form == "oci" and place != STDOUT and not place.endswith(".tar"))
    check_place(found.place, found.folder)
    return found


def build(
    session: Session, service: str, pattern: Pattern | None, form: str | None, to: str | None, rebuild: bool
) -> int:
    """The exit code. Everything that can be refused without the daemon is refused before it is asked."""
    target = target_of(form, to, service) if form is not None else None
    if target is None and to is not None:
        raise UserError(
            "cannot use --to without --format: no image is made", "say --format oci, docker-archive, qcow2 or another"
        )
    if target is not None and not session.options.wait:
        raise UserError("cannot make an image with --detach: it is made of what was built", "leave --detach out")
    loaded = load_file(session, [service])
    outline = of(loaded, os.environ)
    wanted = sources(outline, [service])
    client = session.started_client
    bodies: list[dict[str, Any]] = []

    def ask(view: Progress) -> OperationView:
        file = Path(target.place) if target is not None and target.place not in ("", STDOUT) else None
        packed = pack_all(outline, wanted, session.paths, view, file)
        send_all(client, packed, view)
        bodies.append(moved(request(session, outline, packed, [service]), pattern))
        path = f"/v1/apps/{loaded.app.app}/build"
        form = None if target is None else target.disk or "oci"  # what cannot be made is refused before it is built
        begun: OperationView = client.post(path, {**bodies[0], "rebuild": rebuild}, format=form)
        if rebuild:
            bodies[0]["rebuilt"] = begun.id
        return begun

    following = session
    if session.options.json and session.options.wait:  # what it prints is one object: the result
        following = Session(replace(session.options, output=Output.table))
    code = see_through(following, ask, {service: None})
    if code != 0 or not session.options.wait:
        return code
    if target is None:
        _tell(session, bodies[0])
    elif target.reference is not None:
        _push(session, bodies[0], target.reference)
    elif target.disk is not None:
        uses = loaded.app.services[service].secrets
        _take_disk(session, bodies[0], target, target.disk, [use.file or use.env for use in uses])
    else:
        _take(session, bodies[0], target)
    return 0


def _tell(session: Session, body: dict[str, Any]) -> None:
    path = f"/v1/apps/{body['spec']['app']}/artifact"
    view: ArtifactView = session.client.post(path, body)
    if session.options.json:
        output.as_json(view)
        return
    what = ", ".join(word for word in (f"pattern {view.pattern}", view.runtime) if word)
    output.data(f"{view.service} is built: {size(view.size_bytes)} ({what})")
    if view.base:
        base = size(sum(layer.size_bytes for layer in view.base))
        output.data(f"  on a base of {count(len(view.base), 'layer')}, {base}")
    if view.disks:
        kernel, initrd, *disks = (size(each.size_bytes) for each in view.disks)
        output.data(f"  boots a kernel of {kernel}, an initial file system of {initrd}, disks of {' and '.join(disks)}")
    output.data(f"  digest {view.digest}")
    if (formats := NEXT.get(view.pattern)) is not None:
        output.say(f"next: {formats}", session.options)


def _push(session: Session, body: dict[str, Any], reference: str) -> None:
    path = f"/v1/apps/{body['spec']['app']}/push"
    output.say(f"pushing {reference}", session.options)
    view: ImageView = session.client.post(path, {"request": body, "reference": reference})
    if session.options.json:
        output.as_json(view)
    else:
        output.data(f"pushed {view.reference}: {size(view.size_bytes)}, {view.digest}")


def _take(session: Session, body: dict[str, Any], target: Target) -> None:
    counted = _Counted()
    path = f"/v1/apps/{body['spec']['app']}/image"
    with session.client.download(path, body) as (headers, pieces):
        digest = headers["docker-content-digest"]
        write_image(counted.over(pieces), target.place, target.folder)
    if session.options.json and target.place != STDOUT:
        output.as_json({"digest": digest, "size_bytes": counted.size, "path": target.place})
    elif target.place == STDOUT:
        output.say(f"wrote {size(counted.size)}, {digest}", session.options)
    else:
        output.data(f"wrote {target.place}: {size(counted.size)}, {digest}")


def _take_disk(session: Session, body: dict[str, Any], target: Target, form: str, withheld: list[str]) -> None:
    """`withheld`: its secrets."""
    counted = _Counted()
    request = {"request": body, "format": form}
    services = body["services"] or []
    with progress(Steps(dict.fromkeys(services)), session.options) as view:
        view.working(services, "making a zip" if form == ZIP else f"making a disk, format {form}")
        with session.client.download(f"/v1/apps/{body['spec']['app']}/disk", request) as (headers, pieces):
            digest = f"sha256:{base64.b64decode(headers['repr-digest'].split(':')[1]).hex()}"
            write_image(counted.over(pieces), target.place, folder=False)
    if withheld:
        output.say(f"note: it holds no secrets; whoever runs it gives it {', '.join(withheld)}", session.options)
    if session.options.json and target.place != STDOUT:
        made = {"digest": digest, "size_bytes": counted.size, "path": target.place}
        output.as_json({**made, "format": form, "withheld": withheld})
    elif target.place == STDOUT:
        output.say(f"wrote {size(counted.size)}, {digest}", session.options)
    else:
        output.data(f"wrote {target.place}: {size(counted.size)}, {digest}")


class _Counted:
    def __init__(self) -> None:
        self.size = 0

    def over(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.size += len(piece)
            yield piece
