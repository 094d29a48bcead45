"""Signatures made by botocore's own signer: every one is verified, and none of a request that was changed."""

from __future__ import annotations

import time
from dataclasses import replace
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.api.aws.errors import ApiError
from fourfold.api.aws.sigv4 import Signed, Verifier

KEY, SECRET = "AKIAFOURFOLDTESTS000", "a secret/with+signs"
BASE = "http://127.0.0.1:9001"


def sign(
    method: str = "POST",
    path: str = "/2015-03-31/functions/f/invocations",
    body: bytes = b"{}",
    headers: dict[str, str] | None = None,
    *,
    query: bool = False,
    expires: int = 60,
    key: str = KEY,
    secret: str = SECRET,
    service: str = "lambda",
    region: str = "us-east-1",
) -> Signed:
    body = b"" if query else body  # botocore makes parameters of what it presigns
    request = AWSRequest(method, BASE + path, headers=headers or {}, data=body)
    credentials: Any = Credentials(key, secret)
    signer: Any = (
        SigV4QueryAuth(credentials, service, region, expires) if query else SigV4Auth(credentials, service, region)
    )
    signer.add_auth(request)
    parts = urlsplit(request.url)
    sent = [(name.lower(), str(value)) for name, value in request.headers.items()]
    return Signed(method, parts.path, parts.query, [("host", parts.netloc), *sent], body)


def refused(request: Signed, now: float | None = None) -> str:
    with pytest.raises(ApiError) as caught:
        Verifier(KEY, SECRET).verify(request, time.time() if now is None else now)
    assert caught.value.status == 403
    return caught.value.code


@pytest.mark.parametrize("query", [False, True], ids=["header", "query"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/2015-03-31/functions/f/invocations", b'{"a": 1}'),
        ("GET", "/2015-03-31/functions", b""),
        ("GET", "/2015-03-31/functions?MaxItems=2&Marker=a%2Bb%3D&FunctionVersion=ALL", b""),
        ("GET", "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af", b""),
        ("DELETE", "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A0%3Afunction%3Af?tagKeys=a&tagKeys=b%20c", b""),
        ("GET", "/2015-03-31/functions/f?Qualifier=%24LATEST", b""),
        ("GET", "/a/../b/./c//d/", b""),
        ("GET", "/?empty=&none", b""),
        ("PUT", "/", bytes(range(256))),
    ],
)
def test_of_all_forms(method: str, path: str, body: bytes, query: bool) -> None:
    Verifier(KEY, SECRET).verify(sign(method, path, body, query=query), time.time())


SEGMENTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: text not in (".", "..")
)
HEADER = st.from_regex(r"[!-~]( {0,3}[!-~]){0,10}", fullmatch=True)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(SEGMENTS, max_size=4),
    st.dictionaries(SEGMENTS, SEGMENTS, max_size=4),
    st.binary(max_size=64),
    HEADER,
    st.booleans(),
)
def test_of_anything(path: list[str], query: dict[str, str], body: bytes, header: str, presigned: bool) -> None:
    encoded = "/" + "/".join(quote(each, safe="") for each in path)
    if query:
        encoded += "?" + "&".join(f"{quote(n, safe='-_.~')}={quote(v, safe='-_.~')}" for n, v in query.items())
    request = sign("POST", encoded, body, {"X-Amz-Log-Type": header}, query=presigned)
    verifier = Verifier(KEY, SECRET)
    verifier.verify(request, time.time())
    with pytest.raises(ApiError):
        verifier.verify(replace(request, payload=body + b"x"), time.time())


def test_what_was_changed_is_refused() -> None:
    request = sign()
    for changed in (
        replace(request, method="PUT"),
        replace(request, path="/2015-03-31/functions/g/invocations"),
        replace(request, query="Qualifier=1"),
        replace(request, payload=b"{ }"),
        replace(request, headers=[(n, "elsewhere" if n == "host" else v) for n, v in request.headers]),
    ):
        assert refused(changed) == "InvalidSignatureException"
    assert refused(sign(secret="another")) == "InvalidSignatureException"
    assert refused(sign(service="s3")) == "InvalidSignatureException"
    assert refused(sign(key="AKIAANOTHER")) == "UnrecognizedClientException"
    assert refused(sign(key="AKIAANOTHER", query=True)) == "UnrecognizedClientException"
    assert refused(Signed("GET", "/", "", [("host", "x")], b"")) == "MissingAuthenticationTokenException"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer x", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=zz",
     "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=" + "0" * 64],
)  # fmt: skip
def test_what_is_no_signature(authorization: str) -> None:
    headers = [("host", "x"), ("x-amz-date", "20260101T000000Z"), ("authorization", authorization)]
    assert refused(Signed("GET", "/", "", headers, b"")) == "IncompleteSignatureException"


@pytest.mark.parametrize(
    "query",
    ["X-Amz-Signature=1", "X-Amz-Signature=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=99999999",
     "X-Amz-Signature=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=-1"],
)  # fmt: skip
def test_what_is_no_presigned_query(query: str) -> None:
    assert refused(Signed("GET", "/", query, [("host", "x")], b"")) == "IncompleteSignatureException"


def test_clocks_may_differ_by_five_minutes() -> None:
    request, now = sign(), time.time()
    verifier = Verifier(KEY, SECRET)
    for off in (-290, 290):
        verifier.verify(request, now + off)
    for off in (-310, 310):
        assert refused(request, now + off) == "InvalidSignatureException"
    presigned = sign(query=True, expires=3600)
    verifier.verify(presigned, now + 3590)
    assert refused(presigned, now + 3610) == "InvalidSignatureException"


def test_the_payload_may_be_left_unsigned_and_a_hash_of_it_must_be_its_own() -> None:
    unsigned = sign(headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    Verifier(KEY, SECRET).verify(replace(unsigned, payload=b"anything"), time.time())
    right = sign(headers={"X-Amz-Content-SHA256": sha256(b"{}").hexdigest()})
    Verifier(KEY, SECRET).verify(right, time.time())
    wrong = sign(headers={"X-Amz-Content-SHA256": sha256(b"[]").hexdigest()})
    assert refused(wrong) == "InvalidSignatureException"


def test_every_region_and_day_has_a_key_of_its_own() -> None:
    verifier = Verifier(KEY, SECRET)
    for region in ("us-east-1", "ap-northeast-2", *(f"x-{n}" for n in range(100))):
        verifier.verify(sign(region=region), time.time())
