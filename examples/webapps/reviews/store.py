"""Reviews, kept in memory."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass


@dataclass(frozen=True)
class Review:
    stars: int
    text: str


class Reviews:
    def __init__(self) -> None:
        self._of: dict[str, list[Review]] = defaultdict(list)

    def add(self, product: str, stars: int, text: str) -> None:
        self._of[product].append(Review(stars, text))

    def texts(self, product: str) -> list[str]:
        return [review.text for review in self._of.get(product, [])]

    def stars(self, product: str) -> float | None:
        given = [review.stars for review in self._of.get(product, [])]
        return sum(given) / len(given) if given else None
