"""One value of a service file is written; comments, layout and everything else stay."""

from __future__ import annotations

import pytest

from fourfold.errors import UserError
from fourfold.spec.edit import with_value

PATH = ("services", "web", "instances")
HEAD = "app: x\nservices:\n"

EDITED = {
    "replaced": ("  web:\n    instances: 2  # two\n    run: x\n", "  web:\n    instances: 3  # two\n    run: x\n"),
    "in braces": ("  web: {instances: 2, run: x}  # web\n", "  web: {instances: 3, run: x}  # web\n"),
    "added": (
        "  # the web\n  web:\n    run: x   # here\n    # below\n    env:\n      A: b\n",
        "  # the web\n  web:\n    run: x   # here\n    instances: 3\n    # below\n    env:\n      A: b\n",
    ),
    "added in braces": ("  web: {run: x }\n", "  web: {run: x, instances: 3 }\n"),
    "added to long braces": ("  web: {\n    run: x,\n  }\n", "  web: {\n    run: x, instances: 3,\n  }\n"),
    "added to nothing short": (
        "  web:\n    env:\n      A: b\n    run: |\n      x\n",
        "  web:\n    instances: 3\n    env:\n      A: b\n    run: |\n      x\n",
    ),
    "at the end, without a newline": ("  web:\n    run: x", "  web:\n    run: x\n    instances: 3\n"),
    "with Windows' line ends": ("  web:\r\n    run: x\r\n", "  web:\r\n    run: x\r\n    instances: 3\r\n"),
    "over what is merged in": (
        "  a: &a {run: x, instances: 4}\n  web:\n    <<: *a\n",
        "  a: &a {run: x, instances: 4}\n  web:\n    instances: 3\n    <<: *a\n",
    ),
}


@pytest.mark.parametrize("case", EDITED)
def test_edited(case: str) -> None:
    before, after = EDITED[case]
    assert with_value(HEAD + before, "f.yaml", PATH, 3) == HEAD + after


REFUSED = {
    "an alias": "  a: &a {run: x}\n  web: *a\n",
    "another has it by an alias": "  web: &a\n    run: x\n  b: *a\n",
    "another merges it in": "  web: &a\n    run: x\n  b:\n    <<: *a\n",
    "the value is another's": "  a: {instances: &n 2}\n  web: {instances: *n}\n",
    "not there": "  b: {run: x}\n",
    "a map": "  web:\n    instances:\n      min: 1\n      max: 2\n",
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    with pytest.raises(UserError, match="without changing anything else") as refused:
        with_value(HEAD + REFUSED[case], "f.yaml", PATH, 3)
    assert refused.value.hint == "write `instances: 3` there yourself, under services.web"


def test_a_variable_is_not_replaced() -> None:
    with pytest.raises(UserError, match=r"it is given by \$\{N:-2\}"):
        with_value(HEAD + "  web: {instances: '${N:-2}'}\n", "f.yaml", PATH, 3)
