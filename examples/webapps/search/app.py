"""Finds products by words of their names: an ASGI app."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from store import PRODUCTS, find

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
log = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    log.info("%s products", len(PRODUCTS))
    yield
    log.info("closed")


async def search(request: Request) -> JSONResponse:
    words = request.query_params.get("q", "")
    log.info("looking for %r", words)
    return JSONResponse({"found": [{"name": each.name, "price": each.price} for each in find(words)]})


async def health(request: Request) -> JSONResponse:
    return JSONResponse({})


app = Starlette(routes=[Route("/search", search), Route("/healthz", health)], lifespan=lifespan)
