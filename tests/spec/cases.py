"""The cases in `cases/`: each is a service file whose comments at the end say what is wrong with it.

`#> 3:5: services.a: …` is one expected problem (line, column, text); none: it loads. `#$ NAME=value` sets a variable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("cases")


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    environ: dict[str, str]
    problems: list[str]


def cases() -> list[Case]:
    return [_case(path) for path in sorted(FOLDER.glob("*.yaml"))]


def _case(path: Path) -> Case:
    content = path.read_bytes().decode()
    text = re.sub(r"(?m)^#> .*\n", "", content)
    environ = dict(re.findall(r"(?m)^#\$ (\w+)=(.*)$", content))
    return Case(path.stem, text, environ, re.findall(r"(?m)^#> (.*)$", content))
