"""The colours of both schemes: readable, and told apart by those who see fewer of them."""

from __future__ import annotations

import math
import re
from importlib.resources import files
from itertools import combinations

import pytest

from fourfold.cost.comparison import PATTERNS

Colour = tuple[float, float, float]

SEEN_BY = {
    "most people": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopes": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopes": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopes": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
"""Machado, Oliveira and Fernandes 2009, table 1, severity 1.0; of linear RGB."""


def schemes() -> dict[str, dict[str, str]]:
    css = files("fourfold.cli.report").joinpath("templates", "page.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", css, re.S)
    of_light = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", light))
    return {"light": of_light, "dark": of_light | dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", dark))}


def linear(colour: str) -> Colour:
    red, green, blue = (int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5))
    return _linear(red), _linear(green), _linear(blue)


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, 1.4.3."""
    low, high = sorted(
        0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in (linear(one), linear(other))
    )
    return (high + 0.05) / (low + 0.05)


def seen(colour: str, by: str) -> Colour:
    red, green, blue = (
        max(0.0, min(1.0, sum(part * value for part, value in zip(row, linear(colour), strict=True))))
        for row in SEEN_BY[by]
    )
    return red, green, blue


def oklab(colour: Colour) -> Colour:
    """https://bottosson.github.io/posts/oklab/: distances in it are as large as they look."""
    red, green, blue = colour
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.793617785 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.428592205 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.808675766 * short,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(scheme: str) -> None:
    colours = schemes()[scheme]
    pairs = [(text, back) for text in ("ink", "muted") for back in ("page", "surface")]
    pairs += [("good", "good-back"), ("bad", "bad-back"), ("good", "surface"), ("bad", "surface")]
    pairs += [("ink", "good-back"), ("ink", "bad-back"), ("ink", "warn-back")]
    assert {
        pair: round(ratio, 1) for pair in pairs if (ratio := contrast(colours[pair[0]], colours[pair[1]])) < 4.5
    } == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_stand_out(scheme: str) -> None:
    """WCAG 2.2, 1.4.11."""
    colours = schemes()[scheme]
    assert [name for name in PATTERNS if contrast(colours[name], colours["surface"]) < 3] == []


@pytest.mark.parametrize("by", SEEN_BY)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_patterns_are_told_apart(scheme: str, by: str) -> None:
    colours = {name: oklab(seen(schemes()[scheme][name], by)) for name in PATTERNS}
    near = [pair for pair in combinations(PATTERNS, 2) if math.dist(colours[pair[0]], colours[pair[1]]) < 0.1]
    assert near == []
