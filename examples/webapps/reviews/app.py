"""What customers think of products: a WSGI app. `store` is a module of its own, though `search` has one too."""

from __future__ import annotations

from flask import Flask, request
from flask.typing import ResponseReturnValue

from store import Reviews

app = Flask(__name__)
reviews = Reviews()


@app.get("/reviews/<product>")
def read(product: str) -> ResponseReturnValue:
    return {"product": product, "stars": reviews.stars(product), "reviews": reviews.texts(product)}


@app.post("/reviews/<product>")
def write(product: str) -> ResponseReturnValue:
    stars = request.form.get("stars", "")
    if stars not in ("1", "2", "3", "4", "5"):
        return {"error": "stars: 1 to 5"}, 400
    reviews.add(product, int(stars), request.form.get("text", ""))
    print(f"a review of {product}: {stars} stars")
    return {}, 201


@app.get("/healthz")
def health() -> ResponseReturnValue:
    return {}
