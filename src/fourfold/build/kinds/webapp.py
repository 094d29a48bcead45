"""Build step of a web application: puts it where it is run from, and converts one of the days of javax.servlet.

    webapp.py TOOL JAVA PLACE [FOLDER...]

PLACE becomes a WAR, the first one found in the FOLDERs; without those it becomes a folder with all that lies beside
WEB-INF. TOOL is Apache's jakartaee-migration, empty where this host has none. Standard library only: it is run in the
build's sandbox, at the top of the tree.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_OLD = re.compile(rb"javax[/.]servlet[/.;]|xmlns\.jcp\.org/xml/ns/javaee|java\.sun\.com/xml/ns/j(?:2|ava)ee")
_NEW = re.compile(rb"jakarta[/.]servlet[/.;]|jakarta\.ee/xml/ns/jakartaee")
_OWN = re.compile(r"WEB-INF/classes/.*\.class|.*\.(?:jspx?|tagx?|jspf)")
_LIBRARY = re.compile(r"WEB-INF/lib/[^/]+\.jar")
_LARGEST = 256 * 1024 * 1024
"""Bytes of one file that are looked into."""
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
"""What `zipfile` raises for one that is damaged, or encrypted, or compressed in a way that it does not know."""


def is_old(place: Path) -> bool:
    """Whether it was made for javax.servlet: its own classes and pages say so, or its libraries, or web.xml.

    Raises zipfile.BadZipFile when it is no WAR, or for what is broken in it.
    """
    own = _seen(content for name, content in files(place) if _OWN.fullmatch(name))
    if any(own):
        return own == (True, False)
    libraries = ((name, content) for name, content in files(place) if _LIBRARY.fullmatch(name))
    inner = (member for name, content in libraries for member in _members(io.BytesIO(content), name))
    there = _seen(content for name, content in inner if name.endswith(".class"))
    if there in ((True, False), (False, True)):
        return there[0]
    return _seen(content for name, content in files(place) if name == "WEB-INF/web.xml") == (True, False)


def _seen(contents: Iterable[bytes]) -> tuple[bool, bool]:
    """Whether javax.servlet is mentioned, and whether jakarta.servlet is."""
    old = new = False
    for content in contents:
        old, new = old or _OLD.search(content) is not None, new or _NEW.search(content) is not None
    return old, new


def files(place: Path) -> Iterator[tuple[str, bytes]]:
    if place.is_file():
        yield from _members(place, place.name)
        return
    for path in sorted(place.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST:
            yield path.relative_to(place).as_posix(), path.read_bytes()


def _members(archive: Path | io.BytesIO, name: str) -> Iterator[tuple[str, bytes]]:
    with _telling(name), zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if not member.is_dir() and member.file_size <= _LARGEST:
                with _telling(member.filename):
                    content = opened.read(member)
                yield member.filename, content


@contextmanager
def _telling(name: str) -> Iterator[None]:
    """What is broken, also in an archive that lies in another one."""
    try:
        yield
    except _DAMAGED as error:
        raise zipfile.BadZipFile(f"{name}: {error}") from error


def _find(place: Path, folders: list[str]) -> None:
    found = [path for folder in folders for path in sorted(Path(folder).glob("*.war")) if path.is_file()]
    if not found:
        where = ", ".join("the top" if folder == "." else folder for folder in folders)
        sys.exit(f"cannot find the web application: no .war in {where}, and no WEB-INF at the top")
    print(f"The web application is {found[0]}.")
    found[0].resolve().rename(place)  # `shop.war` may be a link to `shop-1.2.war`


def _gather(place: Path) -> None:
    """Apart from what is ours, which nobody is to be served."""
    place.mkdir()
    for path in sorted(Path().iterdir()):
        if path.name != place.parts[0]:
            path.rename(place / path.name)


def _convert(tool: str, java: str, place: Path) -> None:
    if not tool:
        sys.exit(
            f"cannot run {place.name} in Tomcat 10: it was made for javax.servlet, and what converts it is not here\n"
            "hint: apt install tomcat-jakartaee-migration"
        )
    print(f"{place.name} was made for javax.servlet: converting it to jakarta.servlet.", flush=True)
    made = place.with_name(f"{place.name}.converted{place.suffix}")
    argv = [java, "-XX:+UseSerialGC", "-cp", tool, "org.apache.tomcat.jakartaee.MigrationCLI", "-logLevel=WARNING"]
    if (code := subprocess.run([*argv, str(place), str(made)]).returncode) != 0:
        sys.exit(code)
    place.unlink() if place.is_file() else shutil.rmtree(place)
    made.rename(place)


def main(argv: list[str]) -> None:
    tool, java, place, *folders = argv
    if folders:
        _find(Path(place), folders)
    else:
        _gather(Path(place))
    try:
        if is_old(Path(place)):
            _convert(tool, java, Path(place))
    except zipfile.BadZipFile as error:
        sys.exit(f"cannot read {error}\nhint: make it again: a WAR is a zip with a WEB-INF in it, a JAR a zip")


if __name__ == "__main__":
    main(sys.argv[1:])
