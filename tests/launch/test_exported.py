"""What a disk for other hypervisors tells its guest."""

from __future__ import annotations

import pytest

from fourfold.errors import UserError
from fourfold.launch.exported import Program, entries
from fourfold.spec.model import Service, Vm
from tests.launch.test_accounts import GROUP, PASSWD

WEB = Program(
    argv=("/usr/bin/python3", "web.py"),
    env={"PORT": "8080", "HOST": "0.0.0.0", "HOME": "/tmp"},
    cwd="/app",
    user="65534:65534",
    stop_signal="SIGTERM",
)


def service(**values: object) -> Service:
    return Service.model_validate({"source": "/src", "run": ["x"], **values})


def told(program: Program = WEB, spec: Service | None = None, passwd: str = "", group: str = "") -> list[str]:
    found = entries(program, spec or service(), "web", passwd, group)
    return [f"{key}={value}" for key, value in found if key != "file"]


def test_the_program_and_how_it_is_reached() -> None:
    assert told() == [
        "hostname=web", "dhcp=1", "argv=/usr/bin/python3", "argv=web.py", "env=HOME=/tmp", "env=HOST=0.0.0.0",
        "env=PORT=8080", "cwd=/app", "uid=65534", "gid=65534", "pids=4096", "stop=TERM", "grace=10",
    ]  # fmt: skip


def test_a_user_of_the_image() -> None:
    program = Program(("x",), {}, "", "web", "SIGQUIT")
    found = told(program, service(stop={"grace": "1.5s"}, resources={"pids": 7}), PASSWD, GROUP)
    assert "uid=101" in found and "gid=102" in found and "groups=4" in found and "env=HOME=/var/www" in found
    assert {"cwd=/", "stop=QUIT", "grace=2", "pids=7"} <= set(found)
    with pytest.raises(UserError, match="the image knows no user 'nobody-such'"):
        told(Program(("x",), {}, "", "nobody-such", "TERM"))


def test_its_files() -> None:
    files = dict(
        value.split(":644:0:0:", 1) for key, value in entries(WEB, service(), "web", PASSWD, "") if key == "file"
    )
    assert files["/etc/hostname"] == "web\n" and "127.0.1.1\tweb\n" in files["/etc/hosts"]
    assert files["/etc/passwd"].startswith(PASSWD) and ":65534:65534:" in files["/etc/passwd"]
    assert ":65534:" in files["/etc/group"]


def test_of_secrets_only_where_their_files_belong() -> None:
    spec = service(secrets=["PASSWORD", {"KEY": {"name": "k", "file": "/run/secrets/key.pem"}}])
    found = entries(WEB, spec, "w", "", "")
    assert ("env", "KEY=/run/secrets/key.pem") in found
    assert "PASSWORD" not in str(found) and str(found).count("key.pem") == 1


@pytest.mark.parametrize(("base", "init"), [("minimal", False), ("debian", True), ("docker://x", False)])
def test_a_whole_system_has_an_init_of_its_own(base: str, init: bool) -> None:
    assert ("init=/sbin/init" in told(spec=service(vm=Vm(base=base)))) is init
