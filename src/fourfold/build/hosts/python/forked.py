"""A worker process per guest, forked from this one, which has imported what is in `preload`: its memory is theirs too.

What is preloaded comes from the first guest that has it. A guest with other versions of that gets a process of its own
that shares nothing; its log says why.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from . import alone, surroundings
from .control import Control, Unfit
from .packages import Common, ConflictError, is_site, put_first, read, require_version
from .worlds import importables

_PR_SET_PDEATHSIG = 1
_TAIL = 4096
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Worker:
    name: str
    run: str
    pid: int
    log: str
    deadline: float | None = None


class ForkedGuests:
    def __init__(self, control: Control, folder: str, preload: Sequence[str]) -> None:
        self._control = control
        self._workers: dict[str, Worker] = {}
        self._common = Common(Path(folder) / "own/packages")
        self._common.folder.mkdir()
        put_first(str(self._common.folder))
        self._pending = list(preload)
        self._closing = False
        signal.signal(signal.SIGTERM, self._terminated)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(control.waker.fileno(), warn_on_full_buffer=False)

    def _terminated(self, *_: object) -> None:
        self._closing = True

    @property
    def done(self) -> bool:
        return self._closing and not self._workers

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        name, run = asked["guest"], asked["run"]
        there = self._workers.get(name)
        if there is not None and there.run != run:
            raise Unfit(f"cannot start {name}: another run of it is still there")
        if there is not None:
            return {"pid": there.pid}
        if (name, run) in self._control.ended:
            return {"pid": os.getpid()}
        if self._closing:
            raise Unfit(f"cannot start {name}: the host is ending")
        if asked["port"] is None:
            raise Unfit(f"cannot start {name}: it needs a port to serve on")
        folders = asked["argv"][1:]
        try:
            for folder in filter(is_site, folders):
                require_version(folder)
        except ConflictError as error:
            raise Unfit(f"cannot start {asked['name']}: {error}") from None
        self._preload(folders, asked["name"])
        try:
            pid = self._fork(asked, self._unlike(folders))
        except OSError as error:
            raise Unfit(f"cannot start {name}: no process can be made for it: {error.strerror}") from None
        worker = Worker(name, run, pid, asked["log"])
        self._workers[name] = worker
        return {"pid": worker.pid}

    def _preload(self, folders: Sequence[str], service: str) -> None:
        """Import what is still to be imported, as far as this guest has it."""
        if not self._pending:
            return
        dists = [dist for folder in filter(is_site, folders) for dist in read(folder)]
        brought = {module: dist for dist in dists if not dist.local for module in dist.modules}
        names = [name for name in self._pending if name.partition(".")[0] in {*brought, *sys.stdlib_module_names}]
        if not names:
            return
        others = {dist.name for dist in self._common.others(dists)}
        try:
            self._common.take([dist for dist in dists if not dist.local and dist.name not in others], service)
        except OSError as error:
            print(f"cannot preload: {error}", file=sys.stderr)
            return
        importlib.invalidate_caches()
        for name in names:
            self._pending.remove(name)
            try:
                importlib.import_module(name)
            except BaseException:
                print(f"cannot preload {name}:\n{traceback.format_exc()}", file=sys.stderr)
            if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208
                print(f"warning: importing {name} starts threads, which workers are without", file=sys.stderr)
        gc.collect()
        gc.freeze()  # a collection in a worker would otherwise write to every page

    def _unlike(self, folders: Sequence[str]) -> str:
        """Why a guest cannot have what is preloaded; empty: it can."""
        if not self._common.held:
            return ""
        dists = [dist for folder in filter(is_site, folders) for dist in read(folder)]
        for dist in self._common.others(dists):
            if dist.modules & sys.modules.keys():
                held = self._common.held[dist.name]
                return f"{dist.name} {held.version} is preloaded, and it has {dist.version}"
        loaded = {module for dist in self._common.held.values() for module in dist.modules} & sys.modules.keys()
        for folder in (folder for folder in folders if not is_site(folder)):
            if both := sorted(importables(folder)[0] & loaded):
                return f"it has a module {both[0]} of its own, and one of that name is preloaded"
        return ""

    def _fork(self, asked: Mapping[str, Any], unlike: str) -> int:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            code = self._worker(asked, unlike, parent)
        except BaseException:
            traceback.print_exc()
        _end(code)

    def _worker(self, asked: Mapping[str, Any], unlike: str, parent: int) -> int:
        """In the child."""
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return 70
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        self._control.close()
        os.setsid()
        log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for place in (1, 2):
            os.dup2(log, place)
        os.close(log)
        os.chdir(asked["tree"])
        env = surroundings.environment(os.environ, asked)
        target, *folders = asked["argv"]
        if unlike:
            print(f"shares nothing with the group: {unlike}", flush=True)
            program = str(Path(__file__).parent.parent)
            os.execve(sys.executable, [sys.executable, "-Es", program, "--alone", target, *folders], env)
        os.environ.clear()
        os.environ.update(env)
        sys.path.remove(str(self._common.folder))
        if "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()  # as the standard library's is by itself
        return alone.run(target, folders, asked["host"], int(asked["port"]))

    def stop(self, guest: str, run: str, grace: float) -> None:
        worker = self._there(guest, run)
        worker.deadline = time.monotonic() + grace
        _signal(worker, signal.SIGTERM)

    def kill(self, guest: str, run: str) -> None:
        worker = self._there(guest, run)
        _signal(worker, signal.SIGKILL)
        _kill_rest(worker)

    def _there(self, guest: str, run: str) -> Worker:
        there = self._workers.get(guest)
        if there is None or there.run != run:
            raise Unfit(f"cannot end {guest}: it is not there")
        return there

    def running(self) -> list[dict[str, Any]]:
        return [{"guest": each.name, "run": each.run, "pid": each.pid} for each in self._workers.values()]

    def usage(self) -> dict[str, Any]:
        """Workers are metered by their control groups."""
        return {"guests": {}, "whole": {"heap_bytes": None, "heap_most": None}}

    def tick(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers.values()):
            if self._closing and worker.deadline is None:
                worker.deadline = float("inf")
                _signal(worker, signal.SIGTERM)
            if worker.deadline is not None and now > worker.deadline:
                _signal(worker, signal.SIGKILL)
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._ended(worker, os.waitstatus_to_exitcode(status))

    def _ended(self, worker: Worker, code: int) -> None:
        del self._workers[worker.name]
        if _kill_rest(worker):
            note = "it ended and left processes behind; they were killed"
            self._control.post({"event": "note", "guest": worker.name, "kind": "leak", "said": note})
        said = last_line(worker.log) if code > 0 else ""
        exited = {"code": code if code >= 0 else None, "signal": -code if code < 0 else None}
        self._control.post({"event": "ended", "guest": worker.name, "run": worker.run, **exited, "said": said})


def _signal(worker: Worker, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.pid, number)


def _kill_rest(worker: Worker) -> bool:
    """Whether something was there still of what it has started: it is the first of its process group."""
    try:
        os.killpg(worker.pid, signal.SIGKILL)
    except OSError:
        return False
    return True


def _end(code: int) -> NoReturn:
    """As the interpreter would, but not through what the parent was doing."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)


def last_line(log: str) -> str:
    """What a program said last, which is mostly why it ended."""
    try:
        with open(log, "rb") as file:  # noqa: PTH123
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
