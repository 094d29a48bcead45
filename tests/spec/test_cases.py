from __future__ import annotations

import pytest

from fourfold.errors import SpecError
from fourfold.spec.dump import to_yaml
from fourfold.spec.parse import parse, parse_json
from tests.spec.cases import Case, cases


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_problems_are_told_at_their_place(case: Case) -> None:
    try:
        parse([("f.yaml", case.text)], case.environ)
        found = []
    except SpecError as error:
        found = [str(problem) for problem in error.problems]
    assert found == [f"f.yaml:{problem}" for problem in case.problems]


@pytest.mark.parametrize("case", [case for case in cases() if not case.problems], ids=lambda case: case.name)
def test_what_loads_survives_yaml_and_json(case: Case) -> None:
    app = parse([("f.yaml", case.text)], case.environ)
    assert parse([("again.yaml", to_yaml(app))], {}) == app
    assert parse_json(app.model_dump(mode="json")) == app


def test_an_environment_is_text_as_it_was_written() -> None:
    (case,) = [case for case in cases() if case.name == "env_as_written"]
    app = parse([("f.yaml", case.text)], {})
    assert (app.services["a"].env["VERSION"], app.services["a"].env["YES"]) == ("1.10", "yes")
    assert app.groups["g"].env == {"VERSION": "1.10", "OCTAL": "010", "HEX": "0x10"}


def test_what_comes_as_json_is_text_that_programs_can_take() -> None:
    web = {"run": ["sleep", "1\0"], "env": {"A": "a\0b"}}
    with pytest.raises(SpecError) as caught:
        parse_json({"app": "shop", "services": {"web": web}})
    assert [problem.path for problem in caught.value.problems] == ["services.web.env.A", "services.web.run[1]"]


def test_no_message_speaks_pydantic() -> None:
    texts = " ".join(problem for case in cases() for problem in case.problems)
    for jargon in ("pydantic", "http", "Input should", "Value error", "NoneType", "dict", "str ", "Extra inputs"):
        assert jargon not in texts.replace("http:// or https:// url", "").replace("check: http needs", "").replace(
            "https to send", ""
        ).replace("'http://x'", ""), jargon
