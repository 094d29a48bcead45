"""What one user may ask for and keep."""

from __future__ import annotations

from fourfold.control.settings import Settings
from fourfold.errors import TooLargeError, TooManyError
from fourfold.store.tables.bakes import Bakes


class Quota:
    def __init__(self, bakes: Bakes, settings: Settings) -> None:
        self._bakes = bakes
        self._settings = settings

    def check(self, actor: str, coming: int = 0) -> None:
        """Before anything of a new build is taken. `coming`: sources that are on their way, and count as builds.

        Raises TooManyError and TooLargeError.
        """
        most, who = self._settings.bakery_queue, actor or "somebody"
        waiting = len(self._bakes.open(actor)) + coming
        if waiting >= most:
            raise TooManyError(
                f"cannot queue another build of {who}: {waiting} wait or are made already, {most} may (`bakery_queue`)",
                "wait for one, or cancel one: DELETE /v1/builds/ID",
            )
        self.require(actor, 0)

    def require(self, actor: str, size: int, digest: str = "") -> None:
        """Whether `size` bytes more, of the file `digest`, may be kept. Raises TooLargeError."""
        most = self._settings.bakery_bytes
        stored = self._bakes.stored_bytes(actor, digest)
        if stored + size > most or stored >= most:
            mebibyte = 1024**2
            more = f" and this one has {size // mebibyte:,} MiB," if size else ""
            raise TooLargeError(
                f"cannot keep another artifact of {actor or 'somebody'}: {stored // mebibyte:,} MiB are kept,{more} "
                f"{most // mebibyte:,} MiB may be (`bakery_bytes`)",
                "take what is needed and remove builds: DELETE /v1/builds/ID",
            )
