from __future__ import annotations

from pathlib import Path

import pytest

from fourfold.errors import NotFoundError, SpecError, UserError
from fourfold.spec.load import load
from fourfold.spec.parse import parse

BASE = """\
app: shop
services:
  a:
    port: 80
    env: {A: one, B: two}
    route: [{path: /x}, {path: /y}]
    health: {path: /h, interval: 1s}
    run: ${CMD}
  b: {}
"""


def over(overlay: str, base: str = BASE, **environ: str) -> dict[str, object]:
    app = parse([("base.yaml", base), ("over.yaml", overlay)], {"CMD": "x"} | environ)
    return app.model_dump(mode="json", exclude_unset=True)["services"]  # type: ignore[no-any-return]


def problems(overlay: str, base: str = BASE, **environ: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse([("base.yaml", base), ("over.yaml", overlay)], environ)
    return [str(problem) for problem in caught.value.problems]


def test_maps_merge_lists_replace_null_removes() -> None:
    found = over("services: {a: {env: {B: ~, C: three}, route: [{path: /z}], health: ~}, b: ~}")
    assert found == {
        "a": {"port": 80, "env": {"A": "one", "C": "three"}, "route": [{"path": "/z"}], "run": "x"},
    }


def test_an_overlay_may_be_almost_nothing() -> None:
    assert over("x-note: hm") == over("services: {b: {}}")


def test_problems_point_to_the_file_that_has_them() -> None:
    found = problems("services:\n  a: {prot: 1, env: {D: '${NOPE}'}}\n", BASE.replace("port: 80", "port: 80000"))
    assert [text.partition(": ")[0] for text in found] == [
        "base.yaml:4:11",
        "base.yaml:8:10",
        "over.yaml:2:7",
        "over.yaml:2:25",
    ]


def test_what_an_overlay_replaces_is_not_judged() -> None:
    assert over("services: {a: {run: y}}")["a"]["run"] == "y"  # type: ignore[index]
    assert parse([("b", BASE), ("o", "services: {a: {run: y}}")], {}).services["a"].run == "y"


def test_a_null_that_removes_nothing_is_looked_at_like_any_key() -> None:
    assert problems("services: {a: {prot: ~}}", CMD="x")[0].startswith("over.yaml:1:16: services.a.prot: unknown key")


def test_syntax_errors_of_all_files_are_told() -> None:
    found = problems("a: [", "b: {")
    assert [text.partition(":")[0] for text in found] == ["base.yaml", "over.yaml"]


def test_defaults_go_under_every_service() -> None:
    base = """
app: shop
defaults: {resources: {memory: 64Mi, cpu: 1}, env: {A: "1"}, stop: {grace: 1s}}
services:
  a: {resources: {memory: 1Gi}, env: {A: ~, B: "2"}}
  b: ~
"""
    app = parse([("f", base)], {})
    a, b = app.services["a"], app.services["b"]
    assert (a.resources.memory, a.resources.cpu, a.env, a.stop.grace) == (2**30, 1, {"B": "2"}, 1)
    assert (b.resources.memory, b.env) == (2**26, {"A": "1"})


def test_load_reads_the_file_and_its_overlay(tmp_path: Path) -> None:
    file = tmp_path / "fourfold.yaml"
    file.write_text(BASE)
    staging = tmp_path / "fourfold.staging.yaml"
    staging.write_text("services: {b: {instances: 3}}")
    loaded = load(file, env="staging", environ={"CMD": "x"})
    assert loaded.app.services["b"].instances == 3
    assert (loaded.file, loaded.files) == (file, (file, staging))
    assert load(file, env=None, environ={"CMD": "x"}).files == (file,)


@pytest.mark.parametrize(("env", "told"), [("prod", "there is: staging"), ("../x", "letters, digits"), ("", "letters")])
def test_an_environment_that_is_not_there(tmp_path: Path, env: str, told: str) -> None:
    (tmp_path / "fourfold.yaml").write_text(BASE)
    (tmp_path / "fourfold.staging.yaml").write_text("{}")
    with pytest.raises(UserError) as caught:
        load(tmp_path / "fourfold.yaml", env=env, environ={})
    assert told in f"{caught.value.what} {caught.value.hint}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="it is not there"):
        load(tmp_path / "fourfold.yaml", env=None, environ={})
    with pytest.raises(UserError, match="it is a folder"):
        load(tmp_path, env=None, environ={})
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * 2_000_000)
    with pytest.raises(SpecError, match="is too long: at most 1,048,576 bytes are read"):
        load(large, env=None, environ={})
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("app: shop\n# caf\u00e9".encode("latin-1"))
    with pytest.raises(SpecError, match=r"latin.yaml:2:6: is not UTF-8: byte 15 is 0xe9"):
        load(latin, env=None, environ={})
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(SpecError, match="at most 1,048,576"):
        load(large, env=None, environ={})


def test_a_byte_order_mark_does_not_shift_columns(tmp_path: Path) -> None:
    file = tmp_path / "bom.yaml"
    file.write_bytes(b"\xef\xbb\xbfapp: X\nservices: {a: {}}\n")
    with pytest.raises(SpecError, match=r":1:6: app: expected a name"):
        load(file, env=None, environ={})


def test_more_problems_than_anyone_reads_are_counted() -> None:
    text = "app: shop\nservices:\n  a: {}\n" + "".join(f"key{number}: 1\n" for number in range(150))
    found = problems("x-a: 1", text)
    assert len(found) == 101
    assert found[-1] == "base.yaml: and 50 more problems"
