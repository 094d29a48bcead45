"""What sandboxes print: read from their pipes, handed on to the invoker's own output, its end kept for the caller."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque

TAIL = 4096
"""Bytes of the log that a caller may ask for (Invoke, LogType)."""
READ = 65536
MAX_LINE = 65536
"""Bytes that wait for the end of their line; more is handed on as it is."""
MAX_WAITING = 4 * 1024 * 1024
"""Bytes that wait to be written; what comes when there are as many is left out, and that is said."""
DELAY = 0.01
"""Seconds in which lines gather before they are written."""


class Output:
    """A descriptor that a thread writes to: a full pipe or a slow disk stops nobody else, a closed one does no harm."""

    def __init__(self, descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
        self._descriptor = descriptor
        self._loop = loop
        self._gathered: list[bytes] = []
        self._waiting = 0
        self._left_out = 0
        self._timer: asyncio.TimerHandle | None = None
        self._batches: deque[bytes] = deque()
        self._more = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Whole lines, from the event loop's thread."""
        if self._waiting + len(data) > MAX_WAITING:
            self._left_out += len(data)
            return
        if self._left_out:
            note = b"[fourfold] %d bytes of output were left out: they came faster than they can be written\n"
            data, self._left_out = note % self._left_out + data, 0
        self._gathered.append(data)
        with self._more:
            self._waiting += len(data)
        if self._timer is None:
            self._timer = self._loop.call_later(DELAY, self.flush)

    def flush(self) -> None:
        self._timer = None
        if self._gathered:
            with self._more:
                self._batches.append(b"".join(self._gathered))
                self._more.notify()
            self._gathered.clear()

    def close(self, patience: float = 2.0) -> None:
        """Write what there is, if that takes no more than `patience` seconds."""
        self.flush()
        with self._more:
            self._ended = True
            self._more.notify()
        self._thread.join(patience)

    def _run(self) -> None:
        while True:
            with self._more:
                while not self._batches and not self._ended:
                    self._more.wait()
                if not self._batches:
                    return
                batch = self._batches.popleft()
            rest = memoryview(batch)
            with contextlib.suppress(OSError):  # closed, or its disk is full: the function goes on
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            with self._more:
                self._waiting -= len(batch)


class Pipe:
    """The output of one sandbox."""

    def __init__(self, descriptor: int, output: Output, loop: asyncio.AbstractEventLoop) -> None:
        self._descriptor = descriptor
        self._output = output
        self._loop = loop
        self._partial = b""
        self._tail: bytearray | None = None
        self._open = True
        loop.add_reader(descriptor, self._readable)

    def begin(self, tail: bool) -> None:
        """An invocation begins: what was printed before is not its."""
        self.drain()
        self._tail = bytearray() if tail else None

    def line(self, text: str) -> None:
        """One that we print ourselves, in its place among the others."""
        data = text.encode()
        if self._partial:
            data, self._partial = self._partial + b"\n" + data, b""
        self._output.write(data)
        self._keep(text.encode())

    def tail(self) -> bytes:
        kept, self._tail = bytes(self._tail or b"")[-TAIL:], None
        return kept

    def drain(self, most: int = 4 * READ) -> None:
        """Read what is there now, of a sandbox that prints without end no more than `most` bytes."""
        while self._open and most > 0 and (count := self._read()):
            most -= count

    def close(self) -> None:
        """After the sandbox has gone: read the rest. The descriptor is closed."""
        if not self._open:
            return
        self.drain(most=16 * READ)
        if self._partial:
            self._output.write(self._partial + b"\n")
            self._partial = b""
        self._shut()

    def _readable(self) -> None:
        self._read()

    def _read(self) -> int:
        """-> bytes read; 0: nothing is there."""
        try:
            data = os.read(self._descriptor, READ)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._descriptor)  # everyone has closed it: it would be readable for ever
            return 0
        self._keep(data)
        lines, newline, rest = data.rpartition(b"\n")
        if newline:
            self._output.write(self._partial + lines + newline)
            self._partial = rest
        else:
            self._partial += data
        if len(self._partial) > MAX_LINE:
            self._output.write(self._partial)
            self._partial = b""
        return len(data)

    def _keep(self, data: bytes) -> None:
        if self._tail is None:
            return
        self._tail += data
        if len(self._tail) > 4 * TAIL:
            del self._tail[:-TAIL]

    def _shut(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
