"""Products, and a search in their names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    name: str
    price: float


PRODUCTS = (Product("green tea", 4.5), Product("black coffee", 6.0), Product("cup", 9.9))


def find(words: str) -> list[Product]:
    """Those whose names have all the words."""
    wanted = words.lower().split()
    return [product for product in PRODUCTS if wanted and all(word in product.name for word in wanted)]
