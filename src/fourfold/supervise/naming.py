"""Names: of the group of one start, and of signals."""

from __future__ import annotations

import signal as signals

from fourfold.errors import UserError


def group_of(instance: str, run: int) -> str:
    """The name of its control group; with the run, as the group of a dead run may go after the next one comes."""
    return f"{instance}.{run}"


def signal_number(name: str) -> int:
    base, sign, offset = name.removeprefix("SIG").partition("+" if "+" in name else "-")
    try:
        number = int(signals.Signals[f"SIG{base}"]) + int(f"{sign}{offset}" or "0")
        if sign and not (base in ("RTMIN", "RTMAX") and signals.SIGRTMIN <= number <= signals.SIGRTMAX):
            raise KeyError(name)
        return number
    except (KeyError, ValueError):
        raise UserError(f"cannot signal: there is no signal {name}", "such as TERM, INT, HUP, QUIT, USR1") from None
