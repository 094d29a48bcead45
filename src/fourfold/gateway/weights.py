"""Parts of the requests as weights of servers. Pure."""

from __future__ import annotations

MOST = 256
"""HAProxy's greatest weight (configuration manual, section 5.2, `weight`)."""


def weights(old: int, new: int, percent: float) -> tuple[int, int]:
    """(of each old server, of each new one), so that `new` of these get together `percent` of the requests beside
    `old` of those: as near to it as 1 to 256 allow, and no more where that can be.

    Where one kind has no server, the other gets everything.
    """
    if old == 0 or new == 0:
        return (1, 1)
    if percent <= 0:
        return (1, 0)
    if percent >= 100:
        return (0, 1)
    ratio = percent * old / ((100 - percent) * new)
    """Of a new one's weight to an old one's."""
    if ratio >= MOST:
        return (1, MOST)
    found = (MOST, 1)
    for of_old in range(1, MOST + 1):
        of_new = min(MOST, int(ratio * of_old + 1e-9))
        if of_new and (found[1] * of_old < of_new * found[0] or found[1] > ratio * found[0]):
            found = (of_old, of_new)
    return found
