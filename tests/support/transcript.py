"""Sessions in documents: what follows `$ ` is typed into one shell, what stands below is what it must print."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

MARK = "=== transcript {} ==="


@dataclass(frozen=True)
class Step:
    command: str
    output: str
    """`…` stands for anything on its line; a line of one alone, for any number of lines."""


def steps(page: str) -> list[Step]:
    """All of a page's blocks ```console. Lines that go on begin with `> `."""
    found: list[Step] = []
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            typed = 1 + sum(1 for _ in _going_on(lines[1:]))
            command = "\n".join([lines[0], *[line[2:] for line in lines[1:typed]]])
            found.append(Step(command, "\n".join(lines[typed:])))
    return found


def _going_on(lines: list[str]) -> list[str]:
    until = next((index for index, line in enumerate(lines) if not line.startswith("> ")), len(lines))
    return lines[:until]


def play(page: str, folder: Path, environ: dict[str, str], patience: float = 240) -> None:
    """AssertionError for the first command that fails, or prints something else."""
    typed = steps(page)
    script = "".join(f"{step.command}\ncode=$?; echo; echo '{MARK.format(n)}' $code\n" for n, step in enumerate(typed))
    done = subprocess.run(
        ["bash"], input=script, cwd=folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=patience,
    )  # fmt: skip
    rest = done.stdout
    for number, step in enumerate(typed):
        said, found, rest = rest.partition(MARK.format(number))
        code, _, rest = rest.partition("\n")
        assert found, f"{step.command}: it did not come to its end:\n{said}"
        assert code.strip() == "0", f"{step.command}: exit code {code.strip()}\n{said}"
        assert matches(step.output, said), f"{step.command}\nprinted:\n{said}\nand should have:\n{step.output}"


def matches(wanted: str, said: str) -> bool:
    lines = [re.escape(line).replace("…", ".*") for line in wanted.strip().splitlines()]
    spaced = [re.sub(r"(\\ )+", r"\\s+", line) for line in lines]
    return re.fullmatch("\n".join(spaced).replace("\n.*\n", "\n(?:.*\n)*"), said.strip()) is not None
