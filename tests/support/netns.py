"""Networks of a test's own: nothing that happens in there is seen on this machine, and it ends with what runs in it.

As a command it gives one a way out, to package indexes: `python -m tests.support.netns -- COMMAND…`
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from fourfold.launch.names import HostNames
from fourfold.spawner import kernel, netlink
from fourfold.spawner.request import Bridge, Failed

INSIDE = "FOURFOLD_TEST_NETWORK"
"""Set in the environment of commands that have a network of their own."""
RESOLVER = "nameserver 10.0.2.3\n"
"""slirp4netns(1): it asks whomever this host asks."""


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and what it starts meanwhile, is in a new network namespace with `lo` alone. Only root may."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.unshare(kernel.CLONE_NEWNET)
        try:
            kernel.loopback_up()
            yield
        finally:
            kernel.setns(before, kernel.CLONE_NEWNET)
    finally:
        os.close(before)


def run(*argv: str) -> str:
    """Its output; AssertionError with what it said when it failed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def connected(bridge: Bridge, veth: str, do: Callable[[], Any]) -> Any:
    """What `do` gives in a child on `bridge`, as the spawner makes one; its failure as [stage, errno, detail]."""
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            netlink.connect(bridge, veth)
            answer = do()
        except Failed as failed:
            answer = [failed.stage, failed.errno, failed.detail]
        except BaseException as error:
            answer = repr(error)
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        answer = json.loads(file.read())
    os.waitpid(pid, 0)
    return answer


def main(argv: Sequence[str]) -> int:
    """Exit code of the command; 128 and the signal's number when one ended it."""
    command = list(argv[1:] if argv[:1] == ["--"] else argv)
    slirp = shutil.which("slirp4netns")
    if not command or os.geteuid() != 0 or slirp is None:
        why = "only root may" if os.geteuid() else "no slirp4netns: bin/prepare.py test" if command else "no command"
        print(f"cannot run in a network of its own: {why}\nusage: -- COMMAND…", file=sys.stderr)
        return 2
    ready_read, ready = os.pipe()
    go_read, go = os.pipe()
    if (child := os.fork()) == 0:
        os.close(go)
        _become(command, ready, go_read)
    os.close(ready)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the command too
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    if os.read(ready_read, 1):
        with _way_out(slirp, child):
            os.write(go, b"g")
            os.close(go)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code if code >= 0 else 128 - code
    return 1


def _become(command: list[str], ready: int, go: int) -> NoReturn:
    try:
        kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWNS)
        kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_SLAVE)
        kernel.loopback_up()
        if not HostNames(resolv_conf=Path("/etc/resolv.conf").read_text()).reachable:
            _resolve_by_slirp()
        os.write(ready, b"r")
        if os.read(go, 1):
            os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})
    except OSError as error:
        print(f"cannot run {command[0]} in a network of its own: {error}", file=sys.stderr)
    os._exit(1)


def _resolve_by_slirp() -> None:
    """Resolvers on the host's loopback are not there any more."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(RESOLVER)
        file.flush()
        Path(file.name).chmod(0o644)
        kernel.mount(file.name, os.path.realpath("/etc/resolv.conf"), None, kernel.MS_BIND)


@contextmanager
def _way_out(slirp: str, pid: int) -> Iterator[None]:
    """slirp4netns for the network of `pid`, until we end, however that is. This host's loopback stays out of reach."""
    ready_read, ready = os.pipe()
    end_read, end = os.pipe()
    arguments = ["--configure", "--mtu=1400", "--disable-host-loopback", f"--ready-fd={ready}", f"--exit-fd={end_read}"]
    process = subprocess.Popen(
        [slirp, *arguments, str(pid), "tap0"],
        pass_fds=(ready, end_read),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    os.close(ready)
    os.close(end_read)
    try:
        if not os.read(ready_read, 1):
            raise SystemExit(f"slirp4netns: {process.communicate()[1].decode()}")
        yield
    finally:
        os.close(end)
        os.close(ready_read)
        process.communicate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
