"""The API of a test's own daemon over TLS, and tokens for it."""

from __future__ import annotations

import json
import ssl
import subprocess
from pathlib import Path
from typing import Any, cast

import httpx

from tests.e2e.home import Home
from tests.gateway.pem import pair
from tests.support.ports import free_port


class Remote:
    """Before the daemon of `home` starts; `token` starts it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.port = free_port()
        self.folder = home.home / "config"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.renew()
        home.environ |= {
            "FOURFOLD_API_LISTEN": f"127.0.0.1:{self.port}",
            "FOURFOLD_API_CERT": "cert.pem",
            "FOURFOLD_API_KEY": "key.pem",
        }
        self.tokens: dict[str, str] = {}

    @property
    def ca(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def renew(self) -> None:
        """Another certificate and key."""
        certificate, key = pair("localhost")
        self.ca.write_bytes(certificate)
        (self.folder / "key.pem").write_bytes(key)

    def token(self, role: str, *more: str, name: str = "") -> str:
        """Its secret; made when it is first asked for."""
        name = name or f"a-{role}"
        if name not in self.tokens:
            made = self.home.run("tokens", "create", name, "--role", role, *more, "-o", "json")
            self.tokens[name] = json.loads(made.stdout)["secret"]
        return self.tokens[name]

    def client(self, secret: str) -> httpx.Client:
        trusted = ssl.create_default_context(cafile=str(self.ca))
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return httpx.Client(base_url=self.url, verify=trusted, headers=headers, timeout=60)

    def run(self, secret: str, *arguments: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command as on another machine."""
        return self.home.run(*arguments, code=code, stdin=stdin, **cast(Any, self.environ(secret)))

    def environ(self, secret: str) -> dict[str, str]:
        return {"FOURFOLD_HOST": self.url, "FOURFOLD_TOKEN": secret, "FOURFOLD_CA": str(self.ca)}
