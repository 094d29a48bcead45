"""Where something is made before it is published: a folder on the store's own file system, gone whatever happens."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fourfold.errors import WorldError
from fourfold.store.files import trees


@contextmanager
def staging(work: Path, prefix: str, what: str) -> Iterator[Path]:
    """A new folder in `work`, removed at the end. Blocking: for threads.

    Raises WorldError, "cannot WHAT: why", when the disk refuses meanwhile.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=work, prefix=f"{prefix}-"))
        try:
            yield folder
        finally:
            trees.remove(folder)
    except OSError as error:
        raise WorldError(f"cannot {what}: {error.strerror or error}", "make room on the disk, see `df`") from error
