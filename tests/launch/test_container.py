"""A service, an image and facts become a Launch with an OCI bundle: from tables, on no host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fourfold.errors import UserError
from fourfold.launch import oci
from fourfold.launch.common import Facts, ImageFacts
from fourfold.launch.container import launch
from fourfold.launch.model import Bridge, Launch, Listen, Powers, SecretRef, User
from fourfold.launch.names import HostNames
from fourfold.spec.model import Service

FACTS = Facts(
    app="shop",
    service="catalog",
    instance="shop.catalog-3-k7f2",
    release=3,
    tree="/state/artifacts/abc/tree",
    argv=("python3", "-m", "catalog"),
    artifact_env={"PATH": "/app/.venv/bin"},
    powers=Powers(users=True, containers=True, runtimes=("runc",), missing={"crun": "crun is not installed"}),
    user=User(799001, 799001, "catalog"),
    port=8080,
    urls={"DB_URL": "postgres://db"},
    volumes={"uploads": "/state/volumes/uploads"},
)
IMAGE = ImageFacts(
    layers=("/images/a/root", "/images/b/root"),
    passwd="root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/var/www:/bin/sh\n",
    group="",
    profile={"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []},
    machine="x86_64",
    kernel=(6, 1),
    names=HostNames("192.0.2.1 elsewhere\n", "nameserver 127.0.0.53\nnameserver 192.0.2.7\nsearch example.com\n"),
    bridge=Bridge("fourfold0", "10.177.0.5/16", "10.177.0.1"),
    env={"PATH": "/opt/bin:/usr/bin", "LANG": "C", "IMAGE": "1"},
)


def made(service: dict[str, Any] | None = None, image: dict[str, Any] | None = None, **facts: Any) -> Launch:
    return launch(Service.model_validate(service or {}), replace(FACTS, image=replace(IMAGE, **(image or {})), **facts))


def config(launch: Launch) -> dict[str, Any]:
    assert launch.bundle is not None
    return dict(launch.bundle.config)


def mounts(launch: Launch) -> dict[str, tuple[str, list[str]]]:
    return {each["destination"]: (each["source"], each["options"]) for each in config(launch)["mounts"]}


def test_what_an_ordinary_one_gets() -> None:
    got = made({"env": {"A": "b"}, "secrets": ["KEY"], "resources": {"memory": "256Mi"}})
    assert got.argv == FACTS.argv and got.cwd == "/app" and got.user == FACTS.user and not got.private
    assert got.network == IMAGE.bridge and got.listen == Listen("10.177.0.5", 8080)
    assert got.env["PATH"] == "/app/.venv/bin:/opt/bin:/usr/bin"
    wanted = {"PORT": "8080", "HOST": "0.0.0.0", "A": "b", "KEY": SecretRef("KEY"), "IMAGE": "1", "USER": "catalog"}
    assert wanted.items() <= got.env.items() and got.env["DB_URL"] == "postgres://db"
    assert got.bundle is not None and got.bundle.overlays == {"rootfs": IMAGE.layers}
    process = config(got)["process"]
    assert process["user"] == {"uid": 799001, "gid": 799001} and process["noNewPrivileges"] is True
    assert set(map(tuple, process["capabilities"].values())) == {()}
    assert "args" not in process and "env" not in process
    assert config(got)["root"] == {"path": "rootfs", "readonly": True}
    assert mounts(got)["/app"] == ("/state/artifacts/abc/tree", ["rbind", "nosuid", "nodev", "ro"])
    assert "size=134217728" in mounts(got)["/tmp"][1] and "uid=799001" in mounts(got)["/run"][1]
    assert "network" not in [each["type"] for each in config(got)["linux"]["namespaces"]]


def test_its_files() -> None:
    got = made()
    assert got.bundle is not None
    assert got.bundle.files == {
        "hostname": "catalog-3-k7f2\n",
        "hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        "10.177.0.5\tcatalog-3-k7f2\n192.0.2.1\telsewhere\n",
        "resolv.conf": "nameserver 192.0.2.7\nsearch example.com\n",
        "passwd": IMAGE.passwd + "catalog:x:799001:799001::/tmp:/bin/sh\n",
        "group": "root:x:0:\nnogroup:x:65534:\ncatalog:x:799001:\n",
    }
    assert {f"/etc/{name}" for name in got.bundle.files} < mounts(got).keys()


def test_on_the_hosts_network() -> None:
    got = made(image={"bridge": None})
    assert got.network == "host" and got.listen == Listen("127.0.0.1", 8080) and got.env["HOST"] == "127.0.0.1"
    assert got.bundle is not None and got.bundle.files["resolv.conf"] == IMAGE.names.resolv_conf


@pytest.mark.parametrize(
    ("service", "image_user", "uid", "name", "home"),
    [
        ({}, "", 799001, "catalog", "/tmp"),
        ({}, "web", 101, "web", "/var/www"),
        ({"image": "docker://nginx"}, "", 0, "root", "/root"),
        ({"image": "docker://nginx"}, "1000:1000", 1000, "user1000", "/"),
        ({"container": {"dockerfile": "Dockerfile"}}, "", 0, "root", "/root"),
        ({"container": {"dockerfile": "Dockerfile"}}, "web", 101, "web", "/var/www"),
    ],
)
def test_who_it_runs_as(service: dict[str, Any], image_user: str, uid: int, name: str, home: str) -> None:
    got = made(service, {"user": image_user})
    assert got.user is not None and (got.user.uid, got.user.name, got.user.home) == (uid, name, home)
    assert (got.env["USER"], got.env["HOME"]) == (name, home)
    capabilities = config(got)["process"]["capabilities"]["effective"]
    assert capabilities == (list(oci.ROOT_CAPABILITIES) if uid == 0 else [])
    assert not {"CAP_NET_RAW", "CAP_MKNOD", "CAP_SYS_CHROOT", "CAP_AUDIT_WRITE", "CAP_SYS_ADMIN"} & {*capabilities}


def test_run_is_the_images_where_its_root_can_be_written() -> None:
    open_root = {"container": {"read_only": False}}
    assert "/run" not in mounts(made({"image": "docker://mariadb", **open_root}))
    assert "/run" in mounts(made({"image": "docker://mariadb"})) and "/run" in mounts(made(open_root))


def test_a_ready_made_image_has_no_artifact() -> None:
    got = made({"image": "docker://nginx"}, {"cwd": "/srv"}, tree="")
    assert "/app" not in mounts(got) and got.cwd == config(got)["process"]["cwd"] == "/srv"


def test_volumes() -> None:
    got = made({"volumes": [{"name": "uploads", "path": "/data/deep"}]})
    assert mounts(got)["/data/deep"] == ("/state/volumes/uploads", ["rbind", "nosuid", "nodev", "rw"])


def test_a_volume_below_the_artifact_is_mounted_in_a_view_of_it() -> None:
    got = made({"volumes": [{"name": "uploads", "path": "/app/uploads"}]})
    assert got.bundle is not None
    assert got.bundle.overlays["app"] == (FACTS.tree,) and got.bundle.points == ("app/uploads",)
    assert mounts(got)["/app"][0] == "app"
    order = [each["destination"] for each in config(got)["mounts"]]
    assert order.index("/app") < order.index("/app/uploads")


def test_secret_files() -> None:
    got = made({"secrets": [{"TLS": {"name": "tls", "file": "/run/secrets/tls.pem"}}]})
    assert got.env["TLS"] == "/run/secrets/tls.pem" and got.files[0].content == SecretRef("tls")
    assert mounts(got)["/run/secrets"] == ("secrets", ["bind", "nosuid", "noexec", "nodev", "ro"])
    assert "/run/secrets" not in mounts(made())


def test_a_root_that_can_be_written() -> None:
    got = made({"container": {"read_only": False}, "resources": {"memory": "64Mi"}})
    assert config(got)["root"]["readonly"] is False and got.bundle is not None and got.bundle.size == 32 * 1024 * 1024


@pytest.mark.parametrize(
    ("in_file", "in_image", "expected"),
    [
        ("TERM", None, "TERM"),
        ("TERM", "SIGQUIT", "QUIT"),
        ("TERM", "3", "QUIT"),
        ("TERM", "SIGRTMIN+3", "RTMIN+3"),
        ("TERM", "37", "RTMIN+3"),
        ("TERM", "SIGRTMIN+30", "TERM"),
        ("TERM", "SIGNONE", "TERM"),
        ("INT", "SIGQUIT", "INT"),
    ],
)
def test_stop_signal(in_file: str, in_image: str | None, expected: str) -> None:
    assert made({"stop": {"signal": in_file}}, {"stop_signal": in_image}).stop.signal == expected


def test_what_this_host_cannot() -> None:
    with pytest.raises(UserError, match="under crun: crun is not installed"):
        made({"container": {"runtime": "crun"}})
    with pytest.raises(UserError, match="under runc: not root"):
        made(powers=Powers(missing={"containers": "not root"}))


def test_config_is_completed_at_spawn() -> None:
    whole = oci.completed(config(made()), ("serve", "x"), {"A": "b", "K": "s3cret"}, False, "/fourfold/h/i.1")
    assert whole["process"]["args"] == [oci.INIT, "--", "serve", "x"]
    assert whole["process"]["env"] == ["A=b", "K=s3cret"]
    assert whole["linux"]["cgroupsPath"] == "/fourfold/h/i.1"
    entered = oci.entered(config(made()), ("ls",), {}, True)
    assert (entered["args"], entered["terminal"], entered["cwd"]) == (["ls"], True, "/app")


def test_commands() -> None:
    common = ("runc", "--root", "/r/i.1/state", "--log", "/r/i.1/report", "--log-format", "json")
    detached = oci.run_command("runc", "i.1", "/r/i.1", "/r/i.1/bundle", "/r/i.1/pid")
    assert detached == (*common, "run", "--detach", "--pid-file", "/r/i.1/pid", "--bundle", "/r/i.1/bundle", "i.1")
    assert oci.run_command("runc", "i.1", "/r/i.1", "/b", None) == (*common, "run", "--bundle", "/b", "i.1")
    entering = [*common, "exec", "--process", "/b/process.json", "i.1"]
    entering[entering.index("/r/i.1/report")] = "/b/report"
    assert oci.exec_command("runc", "i.1", "/r/i.1", "/b") == tuple(entering)
    assert "--platform=ptrace" in oci.exec_command("runsc", "i.1", "/r/i.1", "/p")
