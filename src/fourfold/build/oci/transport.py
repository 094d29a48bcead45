"""Images fetched and sent by skopeo, which speaks the registries' protocol and knows everybody's credentials.

References are `docker://HOST/NAME:TAG`, `oci:/FOLDER[:TAG]` and `docker-archive:/FILE[:NAME:TAG]`:
containers-transports(5). What fails is told in skopeo's words, with a sentence in front that says what to do.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fourfold.build.model import DIES_WITH_US
from fourfold.errors import FourfoldError, UserError, WorldError
from fourfold.store.files import trees

SKOPEO = "skopeo"
TRANSPORTS = ("docker://", "oci:", "docker-archive:")
SECONDS = 15 * 60.0
FETCHED_BYTES = 16 * 1024**3
"""Compressed, while it is fetched; what it unpacks to has a bound of its own."""
_POLICIES = ("~/.config/containers/policy.json", "/etc/containers/policy.json")
_LOOPBACK = re.compile(r"docker://(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?/")
_SAID = re.compile(r'level=(?:fatal|error) msg="((?:[^"\\]|\\.)*)"')

_LOGIN = (
    "as the daemon's user: skopeo login {registry}; then try again (and check the name: some registries hide that way "
    "what is not there)"
)


@dataclass(frozen=True)
class _Reason:
    pattern: str
    kind: type[FourfoldError]
    why: str
    hint: str
    of: str = ""
    """With which references it may be meant; all begin with nothing."""


_REASONS = (
    _Reason(
        r"archive/tar|invalid tar header|unexpected EOF",
        UserError, "the archive is broken, or compressed", "save it again, uncompressed: docker save -o FILE IMAGE",
        "docker-archive:",
    ),
    _Reason(
        r"unauthorized|authentication required|no basic auth credentials|(?<!permission )denied|forbidden|"
        r"invalid username/password",
        UserError, "the registry wants a login, or this one may not see it", _LOGIN, "docker://",
    ),
    _Reason(
        r"toomanyrequests|rate limit",
        WorldError, "the registry refuses more requests for now", "wait, or log in: skopeo login {registry}",
        "docker://",
    ),
    _Reason(
        r"manifest unknown|name unknown|name_unknown|repository name not known|not found|no image with tag|"
        r"no descriptor found|does not exist|no such file",
        UserError, "there is no such image", "check its name and its tag",
    ),
    _Reason(
        r"no image found in (?:manifest list|image index)|choosing image instance|no matching manifest",
        UserError, "it has no image for this machine's architecture", "name an image that was built for it too",
    ),
    _Reason(
        r"server gave HTTP response to HTTPS client",
        UserError, "the registry does not speak TLS", "allow it: `insecure = true` in /etc/containers/registries.conf",
        "docker://",
    ),
    _Reason(
        r"x509|certificate",
        UserError, "the registry's certificate is not trusted here",
        "put its authority's certificate into /etc/containers/certs.d/{registry}/ca.crt", "docker://",
    ),
    _Reason(
        r"dial tcp|connection refused|no such host|i/o timeout|network is unreachable|timeout|EOF|connection reset",
        WorldError, "the registry {registry} cannot be reached", "check its name, the network and the proxy settings",
        "docker://",
    ),
    _Reason(r"no space left on device", WorldError, "the disk is full", "make room: fourfold gc; df -h"),
    _Reason(r"invalid reference format", UserError, "its name is malformed", "see: man containers-transports"),
)  # fmt: skip


def check_reference(reference: str) -> None:
    """Raises UserError for what is none of the references that can be fetched. Pure."""
    if not reference.startswith(TRANSPORTS):
        raise UserError(
            f"cannot use {reference!r} as an image: it begins with none of {', '.join(TRANSPORTS)}",
            f"for an image of a registry: docker://{reference}",
        )
    kind, _, place = reference.partition(":")
    if kind != "docker" and not place.startswith("/"):
        raise UserError(f"cannot use {reference!r} as an image: its path is not absolute", f"write {kind}:/…")


async def fetch(reference: str, layout: Path) -> None:
    """Copy the image for this machine into the new OCI layout `layout`.

    Raises UserError for what is not there, not for this machine, or not ours to see, WorldError when the registry
    cannot be reached.
    """
    check_reference(reference)
    tls = ["--src-tls-verify=false"] if _LOOPBACK.match(reference) else []
    await _skopeo("pull", reference, ["copy", *tls, reference, f"oci:{layout}:image"], layout)


async def send(layout: Path, reference: str) -> None:
    """Push the image of the OCI layout `layout` to `docker://…`. Raises as `fetch`."""
    check_reference(reference)
    tls = ["--dest-tls-verify=false"] if _LOOPBACK.match(reference) else []
    await _skopeo("push", reference, ["copy", *tls, f"oci:{layout}:image", reference], layout)


async def convert(source: str, layout: Path) -> None:
    """Copy an image that a tool of this host made (`docker-daemon:…`, say) into the new OCI layout `layout`."""
    await _skopeo("use", source, ["copy", source, f"oci:{layout}:image"], layout)


async def _skopeo(verb: str, reference: str, argv: Sequence[str], grows: Path) -> None:
    if shutil.which(SKOPEO) is None:
        raise UserError(f"cannot {verb} {reference}: skopeo is not installed", "apt-get install skopeo")
    scratch = await asyncio.to_thread(_scratch, grows)
    try:
        process = await asyncio.create_subprocess_exec(
            *DIES_WITH_US, SKOPEO, *_trust(), "--tmpdir", str(scratch), *argv, env={**os.environ, "LC_ALL": "C"},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            said = await _until_done(process, verb, reference, (grows, scratch))
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    finally:
        await asyncio.shield(asyncio.to_thread(trees.remove, scratch))
    if process.returncode != 0:
        raise explained(verb, reference, said)


def _scratch(layout: Path) -> Path:
    """Beside the layout: skopeo would take /var/tmp, whose size nobody watches."""
    layout.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=layout.parent, prefix="skopeo-"))


def _trust() -> list[str]:
    """Without a policy of this host skopeo refuses to work at all."""
    return [] if any(Path(path).expanduser().exists() for path in _POLICIES) else ["--insecure-policy"]


async def _until_done(process: asyncio.subprocess.Process, verb: str, reference: str, grows: Sequence[Path]) -> str:
    """What it said, at its end. Raises WorldError when it takes too long or fetches too much."""
    talking = asyncio.ensure_future(process.communicate())
    deadline = asyncio.get_running_loop().time() + SECONDS
    try:
        while True:
            done, _ = await asyncio.wait({talking}, timeout=1)
            if done:
                return talking.result()[1].decode(errors="replace")
            if await asyncio.to_thread(lambda: sum(map(trees.size_of, grows))) > FETCHED_BYTES:
                what = f"it is larger than {FETCHED_BYTES // 1024**3} GiB"
                raise UserError(f"cannot {verb} {reference}: {what}", "use a smaller image")
            if asyncio.get_running_loop().time() > deadline:
                what = f"it took longer than {SECONDS / 60:.0f} minutes"
                raise WorldError(f"cannot {verb} {reference}: {what}", "look at the network, then try again")
    finally:
        talking.cancel()


def explained(verb: str, reference: str, said: str, tool: str = SKOPEO) -> FourfoldError:
    """The error for what skopeo said, or a `tool` that fetches by the same library. Pure."""
    words = " ".join(_SAID.findall(said)) or said.strip()
    words = words.replace('\\"', '"')[-600:]
    for reason in _REASONS:
        if reference.startswith(reason.of) and re.search(reason.pattern, words, re.IGNORECASE):
            registry = registry_of(reference)
            why, hint = reason.why.format(registry=registry), reason.hint.format(registry=registry)
            return reason.kind(f"cannot {verb} {reference}: {why}\n  {tool}: {words}", hint)
    return WorldError(f"cannot {verb} {reference}\n  {tool}: {words}", "try it by hand: skopeo inspect " + reference)


def registry_of(reference: str) -> str:
    """The host of `docker://HOST/NAME`; Docker's own registry where none is named."""
    host, slash, _ = reference.removeprefix("docker://").partition("/")
    return host if slash and (set(".:") & set(host) or host == "localhost") else "docker.io"
