"""`fourfold certificate`: which one the gateway serves, and another one in its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fourfold.cli.parameters import Commands, Option
from fourfold.cli.printing import output
from fourfold.cli.session import Session
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.control.views import CertificateView

command = Commands("Show the certificate that the gateway serves, or renew it.")


@command.add("show")
def show(ctx: click.Context) -> None:
    """For which names, from whom, until when."""

    session = Session.of(ctx)
    _print(session, session.client.get(f"/v1/apps/{session.app}/certificate"))


@command.add("renew")
def renew(
    ctx: click.Context,
    cert: Annotated[Path | None, Option("--cert", metavar="FILE", help="PEM: certificate and chain.")] = None,
    key: Annotated[Path | None, Option("--key", metavar="FILE", help="PEM: its key.")] = None,
) -> None:
    """Serve another one from now on, without an `up` and without losing a request.

    Without --cert and --key those that gateway.tls of the service file names: for renewals on another machine than the
    daemon's. On its own machine the daemon sees by itself that they have changed.
    """

    session = Session.of(ctx)
    if (cert is None) != (key is None):
        raise UserError("cannot renew a certificate with only one of --cert and --key", "give both, or none")
    files = _named(session) if cert is None or key is None else (cert, key)
    chain, private = (_read(path) for path in files)
    body = {"certificate": chain, "key": private, "actor": session.actor}
    view: CertificateView = session.client.ask("PUT", f"/v1/apps/{session.app}/certificate", body)
    _print(session, view)


def _named(session: Session) -> tuple[Path, Path]:
    """By the service file."""
    import os

    from fourfold.cli.appname import need_file
    from fourfold.spec.load import load

    file = need_file(session.options)
    tls = load(file, env=session.options.env, environ=os.environ).app.gateway.tls
    if tls is None:
        raise UserError(f"cannot renew the certificate of {session.app}: {file} has no gateway.tls")
    return file.parent / tls.cert, file.parent / tls.key


def _read(path: Path) -> str:
    from fourfold.gateway.certificates import read

    return read(str(path), "the certificate").decode("latin-1")


def _print(session: Session, view: CertificateView) -> None:
    if session.options.json:
        output.as_json(view)
        return
    names = ", ".join(view.names) or "no host (browsers refuse it)"
    where = view.files[0] + ("" if view.watched else " (not on the daemon's machine: send renewed ones)")
    left = f"{view.days} days" if view.days >= 0 else "over"
    valid = f"{view.begins_at} to {view.ends_at} ({left})"
    rows = {"names": names, "issuer": view.issuer, "valid": valid, "from": where}
    output.data("\n".join(f"{name:<8} {value}" for name, value in rows.items()))
