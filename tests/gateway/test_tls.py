"""TLS with given certificates: served, redirected to, renewed; and refused when they do not fit."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from fourfold.errors import UserError
from fourfold.gateway.certificates import combine
from fourfold.gateway.model import Backend, Frontend, GatewayConfig, Rule
from fourfold.gateway.render import addresses
from tests.gateway.pem import pair, self_signed
from tests.gateway.rig import Rig, get, read_head, with_rig


def tls(rig: Rig, pem: Path, config: GatewayConfig) -> GatewayConfig:
    front = Frontend(f"127.0.0.1:{rig.port}", (Rule("shop.web"),), certificate=str(pem))
    return GatewayConfig((front,), config.backends)


async def ask(port: int, trusted: Path, alpn: str = "http/1.1") -> tuple[str | None, dict[str, str], bytes, int]:
    """(protocol, headers, body, serial number of the certificate) of one request over TLS."""
    context = ssl.create_default_context(cafile=str(trusted))
    context.set_alpn_protocols([alpn])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="shop.test")
    session = writer.get_extra_info("ssl_object")
    serial = x509.load_der_x509_certificate(session.getpeercert(True)).serial_number
    if alpn == "h2":
        writer.close()
        return session.selected_alpn_protocol(), {}, b"", serial
    writer.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-Proto: http\r\n\r\n")
    _, headers = await read_head(reader)
    body = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    return session.selected_alpn_protocol(), headers, body, serial


@with_rig
async def test_https_and_http2_with_the_given_certificate(rig: Rig) -> None:
    web = await rig.program()
    pem = rig.home / "shop.pem"
    pem.write_bytes(self_signed())
    await rig.start(tls(rig, pem, rig.config([web.server])))
    protocol, _, body, serial = await ask(rig.port, pem)
    assert protocol == "http/1.1"
    assert b'"x-forwarded-proto": "https"' in body
    assert (await ask(rig.port, pem, "h2"))[0] == "h2"
    stored = next(rig.paths.gateway.glob("cert-*.pem"))
    assert stored.stat().st_mode & 0o777 == 0o600

    # A renewed certificate at the same path is a change; the same again is none.
    assert not await rig.gateway.apply(tls(rig, pem, rig.config([web.server])))
    pem.write_bytes(self_signed())
    assert await rig.gateway.apply(tls(rig, pem, rig.config([web.server])))
    assert (await ask(rig.port, pem))[3] != serial
    assert not stored.exists()

    # HAProxy has its own copy: it starts again when the file is gone.
    kept = rig.home / "trusted.pem"
    pem.rename(kept)
    rig.kill()
    await rig.launch()
    assert (await ask(rig.port, kept))[0] == "http/1.1"
    with pytest.raises(UserError, match="cannot read"):
        await rig.gateway.apply(tls(rig, pem, rig.config([web.server])))


def test_redirect_listens_on_port_80_of_the_same_address() -> None:
    front = Frontend("127.0.0.1:8443", certificate="c", redirect=True)
    assert [(host, port) for _, host, port in addresses(GatewayConfig((front,)))] == [
        ("127.0.0.1", 8443),
        ("127.0.0.1", 80),
    ]


def refusal(address: str, port: int) -> str:
    """Why this user may not listen there; empty when it may."""
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except PermissionError:
            return f"only root may listen on port {port}"
    return ""


@with_rig
async def test_redirect_keeps_method_path_and_query(rig: Rig) -> None:
    """Port 80 of an address that nothing else uses; only root may listen there."""
    pem = rig.home / "shop.pem"
    pem.write_bytes(self_signed())
    address = f"127.{rig.port >> 8}.{rig.port & 0xFF}.7"
    config = GatewayConfig(
        (Frontend(f"{address}:{rig.port}", (Rule("shop.web"),), str(pem), redirect=True),), (Backend("shop.web"),)
    )
    if reason := refusal(address, 80):
        pytest.skip(reason)
    await rig.start(config)
    reader, writer = await asyncio.open_connection(address, 80)
    writer.write(b"POST /a/b?c=d HTTP/1.1\r\nHost: shop.test:80\r\nContent-Length: 0\r\n\r\n")
    first, headers = await read_head(reader)
    writer.close()
    assert first.split()[1] == "308"
    assert headers["location"] == f"https://shop.test:{rig.port}/a/b?c=d"


def encrypted(key: bytes) -> bytes:
    private = load_pem_private_key(key, None)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))


def test_what_does_not_fit_is_refused_with_the_reason() -> None:
    (certificate, key), (other_certificate, other_key) = pair(), pair()
    for given, words in [
        ((b"", key), "no PEM certificate"),
        ((b"nonsense", key), "no PEM certificate"),
        ((key, key), "no PEM certificate"),
        ((certificate, b""), "no private key"),
        ((certificate, certificate), "no private key"),
        ((certificate, encrypted(key)), "it is encrypted"),
        ((certificate, other_key), "does not belong"),
    ]:
        with pytest.raises(UserError, match=words):
            combine(*given)
    with pytest.raises(UserError, match="does not belong") as refused:
        combine(other_certificate + certificate, key)
    assert "put certificate 2 of the chain first" in str(refused.value.hint)
    together = combine(certificate + other_certificate, key)
    assert combine(together, together) == together


@with_rig
async def test_a_bad_certificate_is_refused_before_anything_changes(rig: Rig) -> None:
    web = await rig.program()
    await rig.start(rig.config([web.server]))
    pem = rig.home / "shop.pem"
    pem.write_bytes(pair()[0] + pair()[1])
    os.mkfifo(rig.home / "pipe")
    for path in (pem, rig.home / "missing.pem", rig.home, rig.home / "pipe"):
        with pytest.raises(UserError, match=r"^cannot (use|read)"):
            await rig.gateway.apply(tls(rig, path, rig.config([web.server])))
    assert (await get(rig.port)).status == 200
