"""What a source shows, from its listing: the client's or a stored one."""

from __future__ import annotations

from fourfold.build.model import Listing
from fourfold.cost.advice.source import Source, look

MOST_BYTES = 512 * 1024
"""Of a file whose text is looked at: programs that people write are smaller."""


def seen(listing: Listing) -> Source:
    """Raises NotFoundError for one whose files are not all there."""

    def read(path: str) -> str | None:
        entry = listing.entries[path]
        content = listing.read(entry) if entry.link is None and entry.size <= MOST_BYTES else None
        return content.decode("utf-8", "replace") if content is not None else None

    return look(list(listing.entries), read)
