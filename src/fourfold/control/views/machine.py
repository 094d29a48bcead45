"""The daemon and its machine."""

from __future__ import annotations

from typing import Literal

from fourfold.control.views.base import View


class SecretView(View):
    name: str
    updated_at: str


class GcView(View):
    removed: dict[str, int]
    """Kind -> how many: releases, artifacts, sources, blobs, logs, caches, events, …"""
    freed_bytes: int
    kept: dict[str, int] = {}
    """Of what has quotas, the bytes that are there now: artifacts, logs, baked files."""


class CheckView(View):
    """One line of `doctor`."""

    name: str
    state: Literal["ok", "warning", "failed"]
    message: str
    hint: str | None = None


class SpawnerView(View):
    """The parent of all instances, which outlives daemons."""

    pid: int
    version: str


class InfoView(View):
    version: str
    pid: int
    user: str
    home: str
    apps: list[str]
    started_at: str
    lambda_api: str | None = None
    """Where AWS Lambda's API answers."""
    region: str = "us-east-1"
    """Of its ARNs."""
    spawner: SpawnerView | None = None
