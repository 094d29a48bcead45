"""`/v1/builds`: a source or JSON in, a file out, in parts too."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from fourfold.control.bakery.shapes import BakeRequest, UploadQuery
from fourfold.errors import TooManyError
from tests.api.serving import Serving

ETAG = f'"{"ab" * 32}"'


def test_a_source_is_handed_on_as_it_comes(server: Serving, http: httpx.Client) -> None:
    """Under whatever type: curl says of --data-binary that it is a form."""
    for kind in ("application/x-www-form-urlencoded", "application/gzip", None):
        headers = {"content-type": kind} if kind else {}
        query = {"service": "web", "pattern": "vm", "format": "raw", "port": "80", "actor": "ann"}
        answer = http.post("/v1/builds", params=query, content=b"\x1f\x8bsource", headers=headers)
        assert answer.status_code == 202 and answer.json()["position"] == 2
        wanted = UploadQuery(service="web", pattern="vm", format="raw", port=80, actor="ann")
        assert server.facade.bakery.calls.pop() == ("upload", (wanted, b"\x1f\x8bsource"))


def test_a_build_of_what_was_sent_before(server: Serving, http: httpx.Client) -> None:
    body = {"file": "app: shop", "service": "web", "source": "ab" * 32}
    assert http.post("/v1/builds", json=body).status_code == 202
    assert server.facade.bakery.calls == [("submit", (BakeRequest(**body),))]


@pytest.mark.parametrize(
    ("query", "body", "status", "said"),
    [
        ("", {"json": {"nonsense": 1}}, 422, "body.nonsense"),
        ("", {"json": {"source": "../../etc"}}, 422, "body.source"),
        ("", {"content": b"{", "headers": {"content-type": "application/json"}}, 422, "JSON"),
        (
            "",
            {"content": b" " * 5_000_000, "headers": {"content-type": "application/json"}},
            413,
            "more than 4,194,304",
        ),
        ("", {"files": {"file": b"x"}}, 422, "--data-binary"),
        ("?pattern=spaceship", {"content": b"x"}, 422, "query.pattern"),
        ("?service=../x", {"content": b"x"}, 422, "query.service"),
        ("?colour=red", {"content": b"x"}, 422, "query.colour"),
    ],
)
def test_nonsense_is_refused(http: httpx.Client, query: str, body: dict[str, object], status: int, said: str) -> None:
    answer = http.post(f"/v1/builds{query}", **body)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert said in answer.json()["error"] + (answer.json()["hint"] or "")


def test_too_many_says_when_to_come_again(server: Serving, http: httpx.Client) -> None:
    server.facade.bakery.fails = TooManyError("cannot queue another build: 10 wait", "wait for one")
    answer = http.post("/v1/builds", content=b"x")
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0


def test_the_others(server: Serving, http: httpx.Client) -> None:
    assert [each["id"] for each in http.get("/v1/builds?actor=ann&app=shop&limit=5").json()] == ["b1"]
    assert http.get("/v1/builds/b7").json()["id"] == "b7"
    assert http.delete("/v1/builds/b7?actor=ann").status_code == 204
    assert server.facade.bakery.calls == [("list", ("ann", "shop", 5)), ("get", ("b7",)), ("remove", ("b7", "ann"))]


def test_the_file_in_parts(server: Serving, http: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 1000)
    server.facade.bakery.file = file
    whole = http.get("/v1/builds/b1/artifact")
    assert whole.content == file.read_bytes() and whole.headers["etag"] == ETAG
    assert (
        whole.headers["repr-digest"].startswith("sha-256=:q6ur") and "web.qcow2" in whole.headers["content-disposition"]
    )
    part = http.get(f"/v1/artifacts/{'ab' * 32}", headers={"range": "bytes=255999-", "if-range": ETAG})
    assert part.status_code == 206 and part.content == b"\xff"
    other = http.get("/v1/builds/b1/artifact", headers={"range": "bytes=255999-", "if-range": '"other"'})
    assert other.status_code == 200 and len(other.content) == 256_000
    unknown = http.get("/v1/builds/b1/artifact", headers={"range": "lines=1-2"})
    assert unknown.status_code == 200 and len(unknown.content) == 256_000
    known = http.get("/v1/builds/b1/artifact", headers={"if-none-match": f'"x", {ETAG}'})
    assert known.status_code == 304 and not known.content


@pytest.mark.parametrize("asked", ["bytes=300000-", "bytes=5-1", "bytes=x"])
def test_parts_that_a_file_has_not(server: Serving, http: httpx.Client, tmp_path: Path, asked: str) -> None:
    """RFC 9110, section 15.5.17."""
    server.facade.bakery.file = tmp_path / "file"
    server.facade.bakery.file.write_bytes(b"x" * 1000)
    answer = http.get("/v1/builds/b1/artifact", headers={"range": asked})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */1000")
    assert answer.json()["error"] == "cannot answer: requested range not satisfiable"
