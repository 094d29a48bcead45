"""The bridge of this daemon's containers, on this host: made when it is first needed, kept right, removed.

It belongs to one home, whose state folder is written on it (`ip link show`: alias): two daemons that gave out the same
addresses would break each other's containers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote, unquote

from fourfold.errors import UserError, WorldError
from fourfold.spawner import netlink
from fourfold.spawner.request import Bridge
from fourfold.supervise.network import bridge
from fourfold.supervise.network.bridge import BridgeNetwork

log = logging.getLogger(__name__)

CHECK_SECONDS = 10.0
"""Between two looks at whether the rules are there: firewalls that are loaded anew often throw away all others'."""
PROGRAMS = {"ip": "iproute2", "nft": "nftables"}
"""Command -> the Debian package that brings it."""
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_LONGEST_ALIAS = 255
_OWNER = "fourfold:"
_USUAL_MTU = 1500


def program(name: str) -> str | None:
    """Where it is; None when it is not installed. Daemons of users often have no `sbin` in their PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin")


def missing() -> str | None:
    """Why this daemon can make no bridge, without trying; None when nothing is known against it."""
    if os.geteuid() != 0:
        return "only root can make networks"
    for name, package in PROGRAMS.items():
        if program(name) is None:
            return f"{name} is not installed: apt-get install {package}"
    return None


class Network:
    """One per daemon. `home` is the folder that tells it from other daemons of this host."""

    def __init__(self, network: BridgeNetwork, home: Path) -> None:
        self.network = network
        self._owner = _OWNER + quote(str(home))[len(_OWNER) - _LONGEST_ALIAS :]
        self._lock = Lock()
        self._index: int | None = None
        """Of the interface that was made or found."""
        self._ports: frozenset[int] = frozenset()
        """To be reached from the bridge."""
        self._calls: dict[bridge.Call, int] = {}
        self._open: tuple[frozenset[int], dict[bridge.Call, int]] | None = None
        """Those that are; None: not known."""
        self._mended = 0
        """Instances that were on it again after another program had removed it, and of which nobody has been told."""
        self.on_mended: Callable[[str], None] = log.warning

    @property
    def address(self) -> str | None:
        """What the gateway is to listen on besides loopback: None until the bridge has been made."""
        return self.network.gateway if self._is_there() else None

    async def adopt(self) -> None:
        """Find what an earlier daemon of this home has left; nothing is changed."""
        if missing() is None:
            await self._locked(self._adopt)

    async def check(self) -> None:
        """Refuse what `make` would, before anything is built for it; quick once it is made. UserError, WorldError."""
        if not self._is_there():
            await self._locked(self._check)

    async def make(self) -> None:
        """Have it; quick when it is there. UserError: addresses or name are another's; WorldError: the system's no."""
        if not self._is_there():
            await self._locked(self._make_once)
            self._tell()

    async def allow(self, ports: Collection[int], calls: Mapping[bridge.Call, int] | None = None) -> None:
        """Those of the gateway's internal listeners, from now on, and what leads to them by name. WorldError."""
        self._ports, self._calls = frozenset(ports), dict(calls or {})
        if self._index is not None and self._open != (self._ports, self._calls):
            await self._locked(self._allow)

    async def remove(self) -> None:
        """When nothing is on it any more. What does not go is told in the log."""
        if self._index is not None:
            await self._locked(self._remove)

    async def keep(self) -> None:
        """Mend what others have broken, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if self._index is None:
                continue
            try:
                await self._locked(self._mend)
                self._tell()
            except (UserError, WorldError) as error:
                log.error("%s", error)

    def _tell(self) -> None:
        if self._mended:
            instances = f"{self._mended} instance{'s' if self._mended != 1 else ''}"
            self._mended = 0
            self.on_mended(
                f"another program had removed the bridge {self.network.name}, its address or its rules: "
                f"they are there again, and {instances} on it"
            )

    async def _locked(self, do: Callable[[], None]) -> None:
        """Also when who asked is cancelled: the thread goes on."""

        def locked() -> None:
            with self._lock:
                do()

        await asyncio.to_thread(locked)

    # -- in a thread ----------------------------------------------------------------------------------------------

    def _adopt(self) -> None:
        link = self._link()
        if link is not None and self._is_ours(link) and self._addresses() == [str(self.network.address)]:
            self._index = link["ifindex"]

    def _looked(self) -> tuple[bool, list[dict[str, Any]]]:
        """-> whether it is there as it is to be, and all routes of this host. UserError: something is in its way."""
        if (why := missing()) is not None:
            raise UserError(f"cannot make the network of containers: {why}", "`fourfold doctor` tells what is missing")
        link = self._link()
        fits = False
        if link is not None:
            self._refuse_others(link)
            fits = self._is_ours(link) and self._addresses() == [str(self.network.address)]
            if not fits:
                self._refuse_used()
        routes = self._routes()
        if taken := bridge.overlap(self.network, routes):
            raise UserError(
                f"cannot make the bridge {self.network.name} with {self.network.address}: {taken} is there already",
                f'choose another network: bridge = "{self.network.name} 10.201.0.1/16" in fourfold.toml',
            )
        return fits, routes

    def _check(self) -> None:
        self._looked()

    def _make_once(self) -> None:
        """Many are started at once, and all want it."""
        if not self._is_there():
            self._make()

    def _make(self) -> None:
        """Also of something half-made, or made with other settings."""
        fits, routes = self._looked()
        if not fits and self._present():
            self._ip("link", "delete", "dev", self.network.name)
        self._allow()  # first: nobody is ever on it without rules
        if not fits:
            self._ip("-batch", "-", given=bridge.make(self.network, self._mtu(routes), self._owner))
        self._forward()
        self._beside_docker()
        self._index = self._present()
        self._plug_again()

    def _plug_again(self) -> None:
        """What was on it before another program removed it, or had it down."""
        for link in self._asked("link"):
            name, _, address = str(link.get("ifalias", "")).partition(" ")
            if name == self.network.name and address:
                try:
                    netlink.plug_again(Bridge(name, address, self.network.gateway), link["ifname"])
                    self._mended += 1
                except (OSError, ValueError) as error:  # it has ended meanwhile
                    log.warning("cannot put %s back on the bridge %s: %s", link["ifname"], name, error)

    def _allow(self) -> None:
        """With all rules: they may be gone by now, or those of an earlier version."""
        ports, calls = self._ports, self._calls
        self._nft(bridge.rules(self.network, ports, calls))
        self._open = (ports, calls)

    def _mend(self) -> None:
        there = self._is_there()
        up = there and netlink.is_up(self.network.name, self.network.gateway)
        if not up or not self._has_rules():
            log.warning("the bridge %s, its address or its rules were removed by another program", self.network.name)
            if there:
                self._ip("-batch", "-", given=bridge.raised(self.network))
            self._make()
        self._forward()
        self._beside_docker()

    def _beside_docker(self) -> None:
        """Docker may be started at any time."""
        there = self._docker_rules()
        if there is None:
            return
        wanted = bridge.beside_docker(self.network, bridge.way_out(self._routes()))
        for rule in wanted:
            if rule not in there:
                self._run("iptables", "-w", "-I", bridge.DOCKER_CHAIN, *rule)
        for rule in there:
            if rule not in wanted:  # the way out was another
                self._works("iptables", "-w", "-D", bridge.DOCKER_CHAIN, *rule)

    def _docker_rules(self) -> tuple[tuple[str, ...], ...] | None:
        """Ours beside its own; None: it is not there."""
        if program("iptables") is None:
            return None
        try:
            return bridge.left_in_docker(self.network, self._run("iptables", "-w", "-S", bridge.DOCKER_CHAIN))
        except WorldError:
            return None

    def _remove(self) -> None:
        mine, self._index = self._is_there(), None
        if not mine:
            return  # removed, and made again by a daemon that has it now
        for rule in self._docker_rules() or ():
            self._works("iptables", "-w", "-D", bridge.DOCKER_CHAIN, *rule)
        for argv in (("ip", "link", "delete", "dev", self.network.name), ("nft", "delete", "table", *self._table)):
            try:
                self._run(*argv)
            except WorldError as error:
                log.warning("%s", error)

    def _refuse_others(self, link: dict[str, Any]) -> None:
        if self._is_ours(link):
            return
        alias = str(link.get("ifalias", ""))
        other = unquote(alias.removeprefix(_OWNER)) if alias.startswith(_OWNER) else None
        if other and len(alias) < _LONGEST_ALIAS and not Path(other).exists():  # a long one is not there whole
            return  # removed, and nobody cleared up after it
        who = f"the daemon of {other} has it" if other else "it is there, and not Fourfold's"
        away = f"`ip link delete dev {self.network.name}` removes one that is not needed any more"
        raise UserError(
            f"cannot make the bridge {self.network.name}: {who}",
            f'take another: bridge = "fourfold1 10.201.0.1/16" in fourfold.toml; {away}',
        )

    def _refuse_used(self) -> None:
        """It is to be made anew: with another network, or after a home that is gone."""
        if self._asked("link", "show", "master", self.network.name):
            raise UserError(
                f"cannot give the bridge {self.network.name} the address {self.network.address}: containers are on it",
                "stop them first (`fourfold down`), or set `bridge` in fourfold.toml back",
            )

    def _is_ours(self, link: dict[str, Any]) -> bool:
        return bool(link.get("ifalias") == self._owner)

    def _is_there(self) -> bool:
        """The very interface that was made or found."""
        return self._index is not None and self._index == self._present()

    def _present(self) -> int | None:
        """Without asking a program; /sys would show the network that it was mounted in."""
        try:
            return socket.if_nametoindex(self.network.name)
        except OSError:
            return None

    def _link(self) -> dict[str, Any] | None:
        return next((each for each in self._asked("link") if each.get("ifname") == self.network.name), None)

    def _addresses(self) -> list[str]:
        (link,) = self._asked("-4", "address", "show", "dev", self.network.name) or [{"addr_info": []}]
        return [f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"]]

    def _routes(self) -> list[dict[str, Any]]:
        return self._asked("-4", "route", "show", "table", "all")

    def _mtu(self, routes: list[dict[str, Any]]) -> int:
        """As large as the way out: what comes from containers need not be cut, and servers need not be told."""
        way = bridge.way_out(routes)
        return int(self._asked("link", "show", "dev", way)[0]["mtu"]) if way else _USUAL_MTU

    def _forward(self) -> None:
        try:
            if FORWARDING.read_text().strip() == "0":
                FORWARDING.write_text("1")
        except OSError as error:
            raise WorldError(f"cannot set {FORWARDING}: {error.strerror}") from error

    @property
    def _table(self) -> tuple[str, str]:
        return "inet", self.network.table

    def _has_rules(self) -> bool:
        return self._works("nft", "list", "set", *self._table, "ports")

    def _nft(self, script: str) -> None:
        self._run("nft", "-f", "-", given=script)

    def _asked(self, *arguments: str) -> list[dict[str, Any]]:
        """`ip` says {} for an interface that does not fit."""
        said = json.loads(self._ip("-j", *arguments) or "[]")
        return [each for each in said if each]

    def _ip(self, *arguments: str, given: str = "") -> str:
        return self._run("ip", *arguments, given=given)

    def _works(self, *argv: str) -> bool:
        try:
            self._run(*argv)
        except WorldError:
            return False
        return True

    def _run(self, name: str, *arguments: str, given: str = "") -> str:
        path = program(name) or name
        try:
            done = subprocess.run(
                [path, *arguments], input=given, capture_output=True, text=True, timeout=30, env={"LC_ALL": "C"}
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WorldError(f"cannot set up the network of containers: {name}: {error}") from error
        if done.returncode != 0:
            said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0]
            raise WorldError(f"cannot set up the network of containers: {name} {arguments[0]}: {said}")
        return done.stdout
