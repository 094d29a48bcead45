"""`fourfold daemon`: run it, install it, stop it, start it again, ask for it."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fourfold import __version__
from fourfold.cli import units
from fourfold.cli.parameters import Commands, Option
from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session
from fourfold.errors import NotFoundError, UserError, WorldError

if TYPE_CHECKING:
    from fourfold.control.views import InfoView

ENDS_WITHIN = 30.0


def run(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        Session.of(ctx).need_local("run the daemon")
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "fourfold.daemon"])


command = Commands(
    "Run the daemon; install, stop, restart or ask for it.\n\nWithout a command: run it in the foreground.", run
)


@command.add("status")
def status(ctx: click.Context) -> None:
    """Which daemon answers here; exit code 1 when none does."""

    session = Session.of(ctx)
    info: InfoView = session.client.get("/v1/info")
    if session.options.json:
        output.as_json(info)
        return
    output.data(f"version  {info.version}")
    output.data(f"pid      {info.pid}, of {info.user}, started {formats.ago(info.started_at, formats.utc_now())}")
    output.data(f"home     {info.home}")
    output.data(f"socket   {session.client.endpoint.where}")
    if info.lambda_api is not None:
        keys = "" if session.remote else f", keys in {session.paths.lambda_keys}"
        output.data(f"lambda   {info.lambda_api}{keys}")
    output.data(f"apps     {', '.join(info.apps) or 'none'}")


@command.add("env")
def env(ctx: click.Context) -> None:
    """Print what the aws CLI and boto3 need for Lambda's API here: eval "$(fourfold daemon env)"."""
    import json
    import shlex

    session = Session.of(ctx)
    session.need_local("tell the keys")
    info: InfoView = session.client.get("/v1/info")
    if info.lambda_api is None:
        raise NotFoundError(
            "cannot tell where Lambda's API is: its listener is off", "see lambda_listen in fourfold.toml, and the log"
        )
    try:
        keys = json.loads(session.paths.lambda_keys.read_bytes())
    except (OSError, ValueError) as error:
        raise WorldError(f"cannot read {session.paths.lambda_keys}: {error}", "run it as the daemon's user") from error
    given = {
        "AWS_ENDPOINT_URL_LAMBDA": info.lambda_api,
        "AWS_ACCESS_KEY_ID": keys["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": keys["aws_secret_access_key"],
        "AWS_REGION": info.region,
        "AWS_DEFAULT_REGION": info.region,
    }
    if session.options.json:
        print(json.dumps(given))
        return
    for name, value in given.items():
        output.data(f"export {name}={shlex.quote(value)}")


@command.add("stop")
def stop(ctx: click.Context) -> None:
    """End the daemon; services, gateway and spawner keep running."""
    session = Session.of(ctx)
    if session.remote:
        session.client.ask("POST", "/v1/shutdown", actor=session.actor)
        told = f"the daemon at {session.client.endpoint.where} ends; services keep running"
    else:
        _end(session)
        told = "the daemon has ended; services keep running; `fourfold up` starts it again"
    output.done(told, session.options, socket=session.client.endpoint.where)


@command.add("restart")
def restart(ctx: click.Context) -> None:
    """End the daemon and start the one of this version; services, gateway and spawner keep running.

    What an upgrade takes: the spawner becomes that version too, with the same pid.
    """
    from fourfold.cli.link.endpoint import connects
    from fourfold.cli.link.starter import await_other

    session = Session.of(ctx)
    session.need_local("restart the daemon")
    if connects(session.paths.socket):
        _refuse_newer(session.client.get("/v1/info"))
        if units.has(_end(session)):
            await_other(session.paths)
    info: InfoView = session.started_client.get("/v1/info")
    told = f"the daemon is version {info.version} (pid {info.pid}); services kept running"
    output.done(told, session.options, version=info.version, pid=info.pid)


def _refuse_newer(daemon: InfoView) -> None:
    """While it still runs: an older one would not start on its store, or with its spawner."""
    from fourfold.supervise.spawner.versions import is_newer

    if is_newer(daemon.version, __version__):
        raise UserError(
            f"cannot go from {daemon.version}, which runs here, back to {__version__}: a daemon that is older than "
            "what was written last is refused; nothing was changed",
            f"install Fourfold {daemon.version} or newer again; docs/upgrade.md has the way back",
        )


def _end(session: Session) -> str:
    """-> the control groups that it was in, as /proc has them."""
    pid: int = session.client.get("/v1/info").pid
    try:
        descriptor = os.pidfd_open(pid)
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        descriptor, groups = None, ""
    session.client.ask("POST", "/v1/shutdown", actor=session.actor)
    if descriptor is not None:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        if not ended.poll(ENDS_WITHIN * 1000):
            raise WorldError(
                f"cannot stop the daemon: pid {pid} has not ended within {ENDS_WITHIN:.0f} s",
                f"its log is {session.paths.daemon_log}",
            )
        os.close(descriptor)
    return groups


@command.add("connect")
def connect(
    ctx: click.Context,
    start: Annotated[bool, Option("--start", help="Start the daemon if none runs.")] = False,
) -> None:
    """Say where the socket is, and wait: what -H ssh://HOST runs there."""
    from fourfold.cli.link.tunnel import MARK

    session = Session.of(ctx)
    session.need_local("connect")
    client = session.started_client if start else session.client
    if not client.answers():
        raise client.unreachable(ConnectionError())
    print(f"{MARK}{session.paths.socket}", flush=True)
    while os.read(0, 4096):
        pass


@command.add("install")
def install(
    ctx: click.Context,
    show: Annotated[bool, Option("--print", help="Print the unit instead of writing it.")] = False,
    folder: Annotated[Path | None, Option("--into", metavar="FOLDER", help="Else where systemd looks.")] = None,
) -> None:
    """Write a systemd unit, so that the daemon starts with the machine."""
    from fourfold.cli.link.endpoint import connects

    session = Session.of(ctx)
    session.need_local("install the daemon")
    system = os.getuid() == 0
    home = os.environ.get("FOURFOLD_HOME")
    text = units.unit(sys.executable, str(Path(home).absolute()) if home else None, system)
    if show:
        output.data(text.rstrip())
        return
    path = (folder or units.folder(system, Path.home())) / units.NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}", "see `fourfold daemon install --print`, or name --into FOLDER"
        ) from error
    if session.options.json:
        output.as_json({"file": str(path)})
    else:
        output.data(str(path))
    output.say(
        "next:\n" + "\n".join(f"  {step}" for step in units.next_steps(system, connects(session.paths.socket))),
        session.options,
    )
