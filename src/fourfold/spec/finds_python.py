"""How a Python project seems to be started: guesses for `fourfold init`. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fourfold.spec.finds import Listing

_APP = re.compile(r"(?m)^(\w+)\s*(?::[^=\n]+)?=\s*(FastAPI|Starlette|Flask)\(")
_FILES = ("app.py", "main.py", "server.py", "asgi.py", "wsgi.py")


def python_run(listing: Listing) -> str | None:
    """What starts it, where that can be told; the builder finds app.py, main.py and packages with __main__.py."""
    gunicorn = re.search(r"(?im)\bgunicorn\b", listing.text("pyproject.toml", "requirements.txt"))
    if "manage.py" in listing.files:
        project = re.search(r"DJANGO_SETTINGS_MODULE\W+([\w.]+?)\.settings", listing.text("manage.py"))
        if gunicorn and project:
            return f"gunicorn {project[1]}.wsgi -b $HOST:$PORT"
        return "python manage.py runserver --noreload $HOST:$PORT"  # else a start that failed waits for an edit
    for file in (*_FILES, *_in_a_package(listing)):
        made = _APP.search(listing.text(file))
        module = file.removeprefix("src/").removesuffix(".py").replace("/", ".")
        if made and made[2] == "Flask" and gunicorn:
            return f"gunicorn {module}:{made[1]} -b $HOST:$PORT"
        if made and made[2] == "Flask":
            return f"flask --app {module}:{made[1]} run --host $HOST --port $PORT"
        if made:
            return f"uvicorn {module}:{made[1]} --host $HOST --port $PORT"
    return "python server.py" if "server.py" in listing.files else None


def _in_a_package(listing: Listing) -> list[str]:
    """The only file in a package that makes an app. What is below `src` can be imported once it is installed."""
    installed = "[build-system]" in listing.text("pyproject.toml")
    place = re.compile(rf"({'(src/)?' if installed else '(?!src/)'}\w+/)({'|'.join(map(re.escape, _FILES))})")
    found = [name for name in listing.texts if place.fullmatch(name) and _APP.search(listing.text(name))]
    return found if len(found) == 1 else []
