"""How a Python project seems to be started: guesses for `fourfold init`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fourfold.spec.starting.finds import Listing

_APP = re.compile(r"(?m)^(\w+)\s*(?::[^=\n]+)?=\s*(FastAPI|Starlette|Flask|(?:create|make)_app)\(")
_FACTORY = re.compile(r"(?m)^def ((?:create|make)_app)\(([^)]*)\)")
_MAKES = re.compile(r"(?m)^[ \t].*\b(FastAPI|Starlette|Flask)\(")
_FILES = ("app.py", "main.py", "server.py", "asgi.py", "wsgi.py")


@dataclass(frozen=True)
class _Made:
    """An app that a module has, or that a function of it makes."""

    place: str
    """`shop.site:app`"""
    flask: bool
    called: bool = False


def python_run(listing: Listing) -> str | None:
    """What starts it, where that can be told; the builder finds app.py, main.py and packages with __main__.py."""
    gunicorn = re.search(r"(?im)\bgunicorn\b", listing.text("pyproject.toml", "requirements.txt"))
    if "manage.py" in listing.files:
        project = re.search(r"DJANGO_SETTINGS_MODULE\W+([\w.]+?)\.settings", listing.text("manage.py"))
        if gunicorn and project:
            return f"gunicorn {project[1]}.wsgi -b $HOST:$PORT"
        return "python manage.py runserver --noreload $HOST:$PORT"  # else a start that failed waits for an edit
    made = _made(listing)
    if made is None:
        return "python server.py" if "server.py" in listing.files else None
    if made.flask and gunicorn:
        return f"""gunicorn {f'"{made.place}()"' if made.called else made.place} -b $HOST:$PORT"""
    if made.flask:
        return f"flask --app {made.place} run --host $HOST --port $PORT"  # it calls a function by itself
    return f"uvicorn {made.place} {'--factory ' if made.called else ''}--host $HOST --port $PORT"


def _made(listing: Listing) -> _Made | None:
    """The first at the top, else the only one in a package; of these one that is there before one to be made."""
    for file in _FILES:
        if made := _in_file(listing, file):
            return made
    # What is below `src` can be imported once it is installed.
    folders = r"(src/)?\w+/" if "[build-system]" in listing.text("pyproject.toml") else r"(?!src/)\w+/"
    place = re.compile(rf"{folders}({'|'.join(map(re.escape, (*_FILES, '__init__.py')))})")
    found = [made for name in sorted(listing.texts) if place.fullmatch(name) and (made := _in_file(listing, name))]
    best = [made for made in found if not made.called] or found
    return best[0] if len(best) == 1 else None


def _in_file(listing: Listing, file: str) -> _Made | None:
    text = listing.text(file)
    module = file.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if made := _APP.search(text):
        kind = made[2] if made[2][0].isupper() else _framework(listing)
        return _Made(f"{module}:{made[1]}", kind == "Flask") if kind else None
    made, makes = _FACTORY.search(text), _MAKES.search(text)
    if made and makes and all("=" in given for given in made[2].split(",") if given.strip()):
        return _Made(f"{module}:{made[1]}", makes[1] == "Flask", called=True)
    return None


def _framework(listing: Listing) -> str | None:
    """Whose app a function makes that is in another file."""
    needs = listing.text("pyproject.toml", "requirements.txt").lower()
    return next((name for name in ("Flask", "FastAPI", "Starlette") if re.search(rf"\b{name.lower()}\b", needs)), None)
