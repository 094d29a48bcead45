"""The page as a document: complete in itself, and nothing that a comparison says can become markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from fourfold.cli.report.page import page
from fourfold.cost.comparison import Comparison
from tests.cli.report.samples import COMPARISON, NOTHING, QUICK

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """What is open, what was seen, and the text of it all."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(comparison: Comparison) -> Reader:
    reader = Reader()
    reader.feed(page(comparison))
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("comparison", [COMPARISON, QUICK, NOTHING])
def test_it_loads_and_runs_nothing(comparison: Comparison) -> None:
    reader = read(comparison)
    names = {tag for tag, _ in reader.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "a", "base"}
    attributes = [(name, value or "") for _, found in reader.tags for name, value in found.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name in ("src", "href", "style", "srcset")]
    assert not re.search(r"url\(|@import|http://|https://", page(comparison))


def test_words_from_elsewhere_stay_words() -> None:
    text = read(QUICK).text
    assert text.count("<script>alert('x')</script> & \"quotes\"") == 4  # noise, example, reason, note


def test_identifiers_are_there_once_and_meant() -> None:
    tags = read(COMPARISON).tags
    ids = [found["id"] for _, found in tags if "id" in found]
    assert len(ids) == len(set(ids))
    assert {found["aria-labelledby"] for _, found in tags if "aria-labelledby" in found} <= set(ids)


def test_the_same_comparison_gives_the_same_page() -> None:
    assert page(COMPARISON) == page(Comparison.model_validate_json(COMPARISON.model_dump_json()))
