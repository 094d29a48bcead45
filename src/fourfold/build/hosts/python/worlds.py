"""Modules under names of their own: how two guests can both have an `app.py` in one process.

A world is a package that exists in memory only, `guest2_orders`, whose `__path__` are folders of the guest: Python's
own machinery then imports `app` of that guest as `guest2_orders.app`. That is its name everywhere (`__name__`,
`sys.modules`, the `__module__` of its classes), so that relative imports, dataclasses, type hints, pickling and
reloading work as they always do. What is left to do is that `import app` means that module. It does so

- in code of the world itself, found by the `__name__` of the importing module, and
- in code of others (a framework that is told "app.settings") when it runs in a thread of the guest, and there is no
  other module of that name.

The host's own server has a world too: guests may bring another version of it.

What is asked at every import must not import anything itself, as pathlib does from Python 3.13 on: it is not used here.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, all_suffixes
from types import ModuleType
from typing import Any

_worlds: dict[str, World] = {}
_import = builtins.__import__
_import_module = importlib.import_module
_find_spec = importlib.util.find_spec


def _nowhere() -> World | None:
    return None


_of_thread: Callable[[], World | None] = _nowhere


class World:
    """Made with folders whose modules are its own; `claim` adds single packages of other folders."""

    def __init__(self, name: str, folders: Sequence[str], root: str | None = None) -> None:
        """`root`: below it, folders that its code puts on sys.path are its own as well."""
        self.name = name
        self.root = root
        self._strong: set[str] = set()
        self._weak: set[str] = set()
        """Folders without `__init__.py`: namespace packages at best, behind any real module of that name."""
        package = sys.modules.get(name)
        if package is None:
            package = ModuleType(name, "Modules of one guest.")
            package.__path__ = []
            # Flask looks for `instance/` two folders above the origin of a module's top-level package.
            package.__spec__ = ModuleSpec(name, None, origin=f"{root}/{name}/__init__.py", is_package=True)
            package.__spec__.submodule_search_locations = package.__path__
            sys.modules[name] = package
        self._path: list[str] = package.__path__  # type: ignore[assignment]  # a list, as importlib makes it
        _worlds[name] = self
        for folder in folders:
            self.add(folder)

    def add(self, folder: str) -> None:
        self._path.append(folder)
        strong, weak = importables(folder)
        self._strong |= strong
        self._weak |= weak - self._strong

    def claim(self, folder: str, tops: set[str]) -> None:
        """Of all that is in `folder`, only these are its own."""
        if folder not in self._path:
            self._path.append(folder)
        self._strong |= tops

    def close(self) -> None:
        """Forget its modules. Whoever still holds one keeps it alive."""
        _worlds.pop(self.name, None)
        inner = f"{self.name}."
        for name in [name for name in list(sys.modules) if name == self.name or name.startswith(inner)]:
            sys.modules.pop(name, None)

    def natural(self, text: str) -> str:
        """As its own code would call it."""
        return text.replace(f"{self.name}.", "")

    def has(self, name: str, own: bool) -> bool:
        """Whether `name` means one of its modules. `own`: for its own code."""
        top = name.partition(".")[0]
        if top in self._strong:
            return top not in sys.builtin_module_names and (own or not _is_elsewhere(top))
        if top in self._weak:
            return not _is_elsewhere(top)
        return self._adopt() and self.has(name, own)

    def _adopt(self) -> bool:
        """Take over what its code has put on sys.path since: that is the whole process's."""
        if self.root is None:
            return False
        added = False
        for place in list(sys.path):
            folder = os.path.normpath(os.path.join(self.root, place))  # a relative one is of its working folder
            if f"{folder}/".startswith(f"{self.root}/") and os.path.isdir(folder):
                with contextlib.suppress(ValueError):
                    sys.path.remove(place)
                if folder not in self._path:
                    self.add(folder)
                    added = True
        return added

    def load(self, name: str, fromlist: Sequence[str] | None = None) -> ModuleType:
        """As `__import__`: the top-level package, or with `fromlist` the module itself."""
        try:
            module = _import(f"{self.name}.{name}", None, None, fromlist or ("__name__",), 0)
        except ModuleNotFoundError as error:
            error.name = error.name and self.natural(error.name)
            error.msg = self.natural(error.msg)
            error.args = (error.msg,)
            raise
        return module if fromlist else sys.modules[f"{self.name}.{name.partition('.')[0]}"]

    def module(self, name: str) -> ModuleType:
        return self.load(name, ("__name__",))


def importables(folder: str) -> tuple[set[str], set[str]]:
    """Names of the modules and packages at the top of a folder; folders that are neither."""
    strong: set[str] = set()
    weak: set[str] = set()
    suffixes = sorted(all_suffixes(), key=len, reverse=True)
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return set(), set()
    for entry in entries:
        if entry.is_dir():
            if entry.name.isidentifier() and entry.name != "__pycache__":
                is_package = any(os.path.exists(f"{entry.path}/__init__{suffix}") for suffix in suffixes)
                (strong if is_package else weak).add(entry.name)
        else:
            suffix = next((suffix for suffix in suffixes if entry.name.endswith(suffix)), None)
            if suffix is not None:
                strong.add(entry.name.removesuffix(suffix))
    return strong, weak


def _is_elsewhere(top: str) -> bool:
    """Whether a module of that name is there for all."""
    if top in sys.modules:
        return True
    try:
        return _find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _meant(name: str, importer: Mapping[str, Any]) -> World | None:
    """Whose module `name` is, for code with these globals; None: everybody's."""
    own = _worlds.get(str(importer.get("__name__", "")).partition(".")[0])
    world = own or _of_thread()
    return world if world is not None and world.has(name, own is not None) else None


def install() -> None:
    """Let `import` know about worlds."""
    builtins.__import__ = import_
    importlib.import_module = import_module
    importlib.util.find_spec = find_spec


def follow_threads(of_thread: Callable[[], World | None]) -> None:
    """Names that code of nobody's world imports are looked up in the world of the current thread's guest too."""
    global _of_thread
    _of_thread = of_thread


def import_(
    name: str,
    globals: Mapping[str, Any] | None = None,
    locals: Mapping[str, Any] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    if level == 0:
        importer = globals if globals is not None else sys._getframe(1).f_globals
        if (world := _meant(name, importer)) is not None:
            return world.load(name, fromlist)
    return _import(name, globals, locals, fromlist or (), level)


def import_module(name: str, package: str | None = None) -> ModuleType:
    absolute = _absolute(name, package)
    if (world := _meant(absolute, sys._getframe(1).f_globals)) is not None:
        return world.module(absolute)
    return _import_module(name, package)


def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
    absolute = _absolute(name, package)
    if (world := _meant(absolute, sys._getframe(1).f_globals)) is not None:
        return _find_spec(f"{world.name}.{absolute}")
    return _find_spec(name, package)


def _absolute(name: str, package: str | None) -> str:
    return importlib.util.resolve_name(name, package) if name.startswith(".") and package else name
