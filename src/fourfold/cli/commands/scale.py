"""`fourfold scale`: how many instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import click

from fourfold.cli.parameters import Argument, Option
from fourfold.cli.session import Session
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.control.views import OperationView

MOST = 10_000


def _parse(text: str) -> tuple[str, int | None]:
    """None: `auto`."""
    service, equals, number = text.partition("=")
    if service and number == "auto":
        return service, None
    if not (service and equals and number.isascii() and number.isdigit()) or int(number) > MOST:
        expected = f"expected SERVICE=N with N from 0 to {MOST}, such as catalog=3, or SERVICE=auto"
        raise click.BadParameter(f"{expected}; got {text!r}")
    return service, int(number)


def command(
    ctx: click.Context,
    counts: Annotated[list[tuple[str, int | None]], Argument(metavar="SERVICE=N|auto", parser=_parse)],
    save: Annotated[bool, Option("--save", help="Write it into the service file too.")] = False,
) -> int:
    """Set how many instances services have.

    It is kept over `fourfold up` until `fourfold up --reset`; `status` shows that it is not what the file says.
    With --save the file says it from then on. SERVICE=auto takes it back: as the file says, or as the load says where
    the file has `instances` as a map.
    """
    from fourfold.cli.operation import see_through
    from fourfold.cli.printing.progress import Progress

    wanted: dict[str, int | None] = {}
    for service, count in counts:
        if wanted.setdefault(service, count) != count:
            raise UserError(f"cannot scale {service}: it is given two numbers of instances", "leave one of them out")
    session = Session.of(ctx)
    saves = [_saving(session, service, count) for service, count in wanted.items()] if save else []

    def ask(view: Progress) -> OperationView:
        body = {"instances": wanted, "in_file": save, "actor": session.actor}
        operation: OperationView = session.client.post(f"/v1/apps/{session.app}/scale", body)
        return operation

    code = see_through(session, ask, wanted)
    for write in () if code else saves:
        write()
    return code


def _saving(session: Session, service: str, count: int | None) -> Callable[[], None]:
    from fourfold.cli.saving import saving

    if count is None:
        raise click.BadParameter(f"{service}=auto is what the file says already: leave out --save")
    return saving(session, service, "instances", count)
