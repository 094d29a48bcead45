"""How a base is fetched: the host's own apt sources, chosen, and the command line of mmdebstrap(1). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from fourfold.build.bases.systems import System
from fourfold.build.model import DIES_WITH_US

MMDEBSTRAP = "/usr/bin/mmdebstrap"
EPOCH = 0
"""Time of every file of a base, so that the same packages give the same bytes."""
_COMPONENTS = {"main", "contrib", "non-free", "non-free-firmware", "universe", "restricted", "multiverse"}
_ARCHIVES = {"debian", "debian-security", "ubuntu", "ubuntu-ports"}
_PASSED = re.compile(r'(?!.*"";)(?:Acquire::(?!IndexTargets|Changelogs|Languages|cdrom)|APT::Authentication::)')
_AUTHENTICATION = (
    'Dir::Etc::netrc "/etc/apt/auth.conf";',
    'Dir::Etc::netrcparts "/etc/apt/auth.conf.d/";',
)
"""apt looks for passwords of mirrors below the new root otherwise (apt_auth.conf(5))."""


def own_sources(files: Mapping[str, str], system: System) -> dict[str, str]:
    """Of the host's apt sources, by file name, those of its own release and vendor; empty when there are none.

    `.sources` files are in deb822 format, all others have one source a line (sources.list(5)). Repositories of third
    parties must not get into containers unasked: they have suites, components or keyrings of their own.
    """
    found = {}
    for name, text in sorted(files.items()):
        kept = _stanzas(text, system) if name.endswith(".sources") else _lines(text, system)
        if kept:
            found[name] = kept
    return found


def _stanzas(text: str, system: System) -> str:
    kept = []
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _fields(stanza)
        suites = [suite for suite in fields.get("suites", "").split() if _is_own_suite(suite, system)]
        off = fields.get("enabled", "yes").lower() in ("no", "false", "0", "off", "without", "disable")
        if off or "deb" not in fields.get("types", "").split() or not suites:
            continue
        components, uris = fields.get("components", "").split(), fields.get("uris", "").split()
        if _is_vendors(uris, components, fields.get("signed-by", ""), system):
            chosen = {**fields, "types": "deb", "suites": " ".join(suites)}
            kept.append("".join(f"{name.title()}: {value}\n" for name, value in chosen.items()))
    return "\n".join(kept)


def _fields(stanza: str) -> dict[str, str]:
    """Names in lower case; a value's further lines begin with a blank, comments with `#`."""
    fields: dict[str, str] = {}
    last = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t") and last:
            fields[last] += "\n" + line
        elif ":" in line:
            last, _, value = line.partition(":")
            last = last.strip().lower()
            fields[last] = value.strip()
    return fields


def _lines(text: str, system: System) -> str:
    kept = []
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
        if match is None:
            continue
        options, uri, suite, components = match.groups()
        keyring = re.search(r"signed-by=(\S+)", options or "", re.IGNORECASE)
        signed_by = keyring[1] if keyring else ""
        if _is_own_suite(suite, system) and _is_vendors([uri], components.split(), signed_by, system):
            kept.append(line.strip() + "\n")
    return "".join(kept)


def _is_own_suite(suite: str, system: System) -> bool:
    return suite.rstrip("/") in {f"{system.codename}{rest}" for rest in ("", "-updates", "-security", "/updates")}


def _is_vendors(uris: Iterable[str], components: Sequence[str], signed_by: str, system: System) -> bool:
    if not components or not set(components) <= _COMPONENTS:
        return False
    if not signed_by or Path(signed_by.split()[0]).name.startswith(f"{system.vendor}-archive"):
        return True
    return all(urlsplit(uri).path.rstrip("/").rpartition("/")[2] in _ARCHIVES for uri in uris)


def own_options(dump: str) -> str:
    """Of what `apt-config dump` prints, how the host reaches its mirrors: proxies, certificates, time-outs."""
    lines = [line for line in dump.splitlines() if _PASSED.match(line)]
    return "".join(f"{line}\n" for line in (*lines, *_AUTHENTICATION))


def mmdebstrap_argv(
    system: System,
    packages: Iterable[str],
    target: str,
    options: str,
    sources: Sequence[str],
    variant: str = "extract",
    root: bool = True,
) -> list[str]:
    """The command line that unpacks packages to the folder `target`, running none of their scripts (or, with another
    `variant`, running them in there, as mmdebstrap(1) describes).

    `options` and `sources` are files that hold what `own_options` and `own_sources` gave. In namespaces of its own:
    what it mounts goes with it, and whatever it has started dies with it. `root`: whether we are; what an ordinary user
    unpacks is that user's.
    """
    own = [*DIES_WITH_US, "/usr/bin/unshare", *([] if root else ["--user", "--map-current-user"])]
    own += ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    mode = "root" if root else "chrootless"
    return [
        *own,
        *["/usr/bin/nice", "-n", "10", MMDEBSTRAP, f"--mode={mode}", f"--variant={variant}", "--format=directory"],
        f"--include={','.join(packages)}",
        *['--aptopt=APT::Install-Recommends "false"', f"--aptopt={options}"],
        *["--", system.codename, target, *sources],
    ]


def told(lines: Iterable[str]) -> Iterator[str]:
    """Of what mmdebstrap prints, what people want to read: not that it mounts nothing where nothing is needed."""
    for line in lines:
        if not line.startswith(("W: skipping mounting", "I: automatically chosen", "I: skipping emulation")):
            yield line
