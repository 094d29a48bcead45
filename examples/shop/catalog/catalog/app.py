"""`GET /products`, `GET /products/SKU`, `GET /healthz`. Prices are cents."""

from __future__ import annotations

import json
import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

HERE = Path(__file__).parent
PRODUCTS = json.loads((HERE / os.environ.get("PRODUCTS_FILE", "products.json")).read_text())
BY_SKU = {product["sku"]: product for product in PRODUCTS}


async def products(request: Request) -> Response:
    return JSONResponse(PRODUCTS)


async def product(request: Request) -> Response:
    found = BY_SKU.get(request.path_params["sku"])
    if found is None:
        raise HTTPException(404, "no such product")
    return JSONResponse(found)


async def healthz(request: Request) -> Response:
    return PlainTextResponse("ok\n")


app = Starlette(
    routes=[
        Route("/products", products),
        Route("/products/{sku}", product),
        Route("/healthz", healthz),
    ]
)
