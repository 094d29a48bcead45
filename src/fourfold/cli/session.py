"""What a command starts from: the shared options, the folders, the daemon, the app it is about."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fourfold.cli.options import Options
from fourfold.cli.printing.output import agreed
from fourfold.errors import NotFoundError, UserError
from fourfold.paths import Paths

if TYPE_CHECKING:  # importing it takes longer than all the rest
    from fourfold.cli.link.client import Client
    from fourfold.cli.link.endpoint import Endpoint
    from fourfold.cli.link.starter import Starting
    from fourfold.cli.link.target import Target
    from fourfold.control.views import AppView


class Session:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.paths = Paths.find(os.environ, os.geteuid())
        self._may_start = False
        """A daemon may be started, if none runs."""

    @staticmethod
    def of(ctx: click.Context) -> Session:
        options = ctx.find_root().obj
        assert isinstance(options, Options)
        return Session(options)

    @cached_property
    def client(self) -> Client:
        """Talks to the daemon of this user and home. When none runs, its error says who has one."""
        from fourfold.cli.link.client import Client
        from fourfold.cli.link.elsewhere import hint_for

        self.options.asked = Client(self._endpoint, lambda: hint_for(self.paths, self.options.app))
        return self.options.asked

    @cached_property
    def target(self) -> Target | None:
        """The daemon that `-H` names; None: the one of this user and home."""
        if not self.options.host:
            return None
        from fourfold.cli.link.target import parse

        return parse(self.options.host)

    @property
    def remote(self) -> bool:
        """Whether the daemon may be on another machine, with other files."""
        return self.target is not None and self.target.kind != "unix"

    def need_local(self, what: str) -> None:
        """Raises UserError when the daemon is one of another machine."""
        if self.target is not None:
            raise UserError(
                f"cannot {what} at {self.target.text}: that concerns the machine it is run on",
                "run it there, or here without -H and FOURFOLD_HOST",
            )

    @cached_property
    def _endpoint(self) -> Endpoint:
        from fourfold.cli.link import endpoint

        target = self.target
        if target is None:
            return endpoint.local(self.paths.socket)
        if target.kind == "unix":
            return endpoint.local(Path(target.path))
        if target.kind == "ssh":
            from fourfold.cli.link.tunnel import Tunnel

            tunnel = Tunnel(target, self._may_start, os.environ.get("FOURFOLD_REMOTE") or "fourfold")
            self.options.closing.callback(tunnel.close)
            return tunnel.endpoint
        return endpoint.over_network(target)

    @cached_property
    def started_client(self) -> Client:
        """Like `client`, but starts the daemon if none runs."""
        self._may_start = True
        if self.target is None:
            self._starting.wait()
        return self.client

    def begin_daemon(self) -> None:
        """It comes up, if none runs, while the command imports, reads and packs; `started_client` waits for it."""
        self._may_start = True
        assert self.target is not None or self._starting

    @property
    def comes_up(self) -> bool:
        """The daemon does not answer yet."""
        from fourfold.cli.link.endpoint import connects

        return self.target is None and not connects(self.paths.socket)

    @cached_property
    def _starting(self) -> Starting:
        from fourfold.cli.link.starter import Starting

        return Starting(self.paths, self.options)

    @cached_property
    def app(self) -> str:
        """The app's name: given, from the file here or in a parent folder, or the only one that the daemon has."""
        self.options.app = self.options.app or self._app()  # `main` looks elsewhere for it when it is not there
        return self.options.app

    def _app(self) -> str:
        from fourfold.cli.appname import from_file

        if name := from_file(self.options):
            return name
        names = [app.name for app in self._apps()]
        if len(names) == 1:
            return names[0]
        if not names:
            from fourfold.cli.link.elsewhere import hint_for

            raise NotFoundError(
                "cannot tell which app: there is no fourfold.yaml here, and this daemon has no app",
                None if self.remote else hint_for(self.paths, None),
            )
        raise UserError(
            "cannot tell which app: there is no fourfold.yaml here, and this daemon has several",
            f"name one with -a: {', '.join(names)}",
        )

    def knows(self, app: str) -> bool:
        """Whether the daemon has it. Secrets and events of an app may be there before it and after it."""
        return any(view.name == app for view in self._apps())

    def need_app(self, app: str) -> None:
        if not self.knows(app):
            known = ", ".join(view.name for view in self._apps())
            there = f"apps here are {known}" if known else "there is none here"
            raise NotFoundError(f"cannot find app {app}: {there}", "bring it up with: fourfold up")

    def _apps(self) -> list[AppView]:
        views: list[AppView] = self.client.get("/v1/apps")
        return views

    def confirm(self, question: str) -> None:
        """Ask, unless --yes. Raises UserError where nobody can be asked, click's Exit when the answer is no."""
        if self.options.yes:
            return
        if not sys.stdin.isatty():
            raise UserError(f'cannot ask "{question}": this is not a terminal', "say yes beforehand with -y")
        if not agreed(question):
            print("nothing was changed", file=sys.stderr)
            raise click.exceptions.Exit(1)

    @cached_property
    def actor(self) -> str:
        from fourfold.cli.git import actor

        return actor(os.environ)
