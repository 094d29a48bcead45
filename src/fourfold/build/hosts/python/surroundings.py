"""What a program takes for its process's own, each guest's own: output, environment, working folder, child processes.

Of Python code. Libraries in C that read the environment or write to file descriptor 1 see the host's.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, MutableMapping
from importlib import metadata
from typing import Any, AnyStr, ParamSpec, TextIO, TypeVar, cast

from .owners import current
from .packages import normal

_CLONE_FS = 0x200
_libc = ctypes.CDLL(None, use_errno=True)


class _Output:
    """`sys.stdout` and `sys.stderr`: the log of whoever prints."""

    def __init__(self, host: TextIO) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:
        owner = current()
        return getattr(self._host if owner is None else owner.out, name)


class _Environ(os._Environ[AnyStr]):
    """`os.environ`, `os.environb`. What a guest changes stays its own."""

    _host: dict[bytes, bytes]

    @property
    def _data(self) -> dict[bytes, bytes]:
        owner = current()
        return self._host if owner is None else owner.env

    @_data.setter
    def _data(self, value: dict[bytes, bytes]) -> None:
        self._host = value

    def __setitem__(self, key: AnyStr, value: AnyStr) -> None:
        if current() is None:
            cast(Any, super()).__setitem__(key, value)
        else:
            own: dict[Any, Any] = self._data
            own[self.encodekey(key)] = self.encodevalue(value)

    def __delitem__(self, key: AnyStr) -> None:
        if current() is None:
            cast(Any, super()).__delitem__(key)
            return
        try:
            own: dict[Any, Any] = self._data
            del own[self.encodekey(key)]
        except KeyError:
            raise KeyError(key) from None


_register = atexit.register
P = ParamSpec("P")
T = TypeVar("T")


def _at_exit(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[P, T]:
    """A guest's process ends when the guest does; what a shared library registers is for the end of the host."""
    owner = current()
    caller = str(sys._getframe(1).f_globals.get("__name__"))
    if owner is None or not caller.startswith(f"{owner.world.name}."):
        return _register(call, *args, **kwargs)
    owner.at_exit.append(functools.partial(call, *args, **kwargs))
    return call


class _Distributions(metadata.DistributionFinder):
    """`importlib.metadata.version("shop")`: first of what is a guest's own."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        return None

    def find_distributions(self, context: Any = metadata.DistributionFinder.Context()) -> Any:  # noqa: B008
        owner = current()
        own = {} if owner is None else owner.metadata
        names = list(own) if context.name is None else [normal(context.name)]
        return [metadata.PathDistribution(own[name]) for name in names if name in own]


_Popen = subprocess.Popen
_PLACES = {"stdout": 4, "stderr": 5, "env": 10}
"""Where Popen takes these when they are given without their names."""


class _GuestPopen(_Popen):  # type: ignore[type-arg]
    """Child processes inherit from the whole process; those of a guest get what is the guest's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        owner = current()
        if owner is not None:
            own = {"stdout": owner.out, "stderr": owner.out, "env": dict(os.environ)}
            for name, value in own.items():
                if len(args) <= _PLACES[name] and kwargs.get(name) is None:
                    kwargs[name] = value
        super().__init__(*args, **kwargs)


def install() -> None:
    sys.stdout = cast(TextIO, _Output(sys.stdout))
    sys.stderr = cast(TextIO, _Output(sys.stderr))
    os.environ = _per_guest(os.environ)  # noqa: B003  # what C sees is to stay as it is
    os.environb = _per_guest(os.environb)
    atexit.register = _at_exit  # type: ignore[assignment]  # the same, by other names
    sys.meta_path.insert(0, _Distributions())
    subprocess.Popen = _GuestPopen  # type: ignore[misc]


def _per_guest(was: Any) -> Any:
    return _Environ(was._data, was.encodekey, was.decodekey, was.encodevalue, was.decodevalue)


def appending(log: str) -> TextIO:
    """What a guest prints, by whole lines; other processes append to the same file."""
    return open(log, "a", buffering=1, errors="backslashreplace")  # noqa: PTH123


def encoded(env: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in env.items()}


def environment(host: MutableMapping[str, str], asked: Mapping[str, Any]) -> dict[str, str]:
    """A guest's: what is its own, above the host's."""
    place = {"HOST": str(asked["host"]), "PORT": str(asked["port"])}
    return {**{name: value for name, value in host.items() if name != "FOURFOLD_HOST"}, **place, **asked["env"]}


def enter(folder: str) -> None:
    """Make `folder` the working folder of the current thread and of all that it starts; the others keep theirs.

    unshare(2): CLONE_FS needs no privilege and holds for the calling thread; threads share it with whom they come from.
    """
    if _libc.unshare(_CLONE_FS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot have a working folder of its own: {os.strerror(number)}")
    os.chdir(folder)
