"""What an instance gets on this host before it is spawned."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fourfold.control.instances.starter import Starter
from fourfold.control.registry import Registry
from fourfold.control.settings import Settings
from fourfold.errors import NotFoundError, WorldError
from fourfold.functions.model import CONFIG, Config
from fourfold.launch.common import BootFacts
from fourfold.launch.model import Forwarded, Listen, Powers, User
from fourfold.paths import LONGEST_SOCKET, Paths
from fourfold.spec.model import Service
from fourfold.store import layout
from fourfold.store.files.artifacts import Artifact, Artifacts, Function, Image
from fourfold.store.files.disks import Disks
from fourfold.store.files.images import Images
from fourfold.supervise.network.bridge import BridgeNetwork
from fourfold.supervise.supervisor import Supervisor
from tests.store.samples import FixedClock, app_row, build, instance, open_in, release, service_row

BRIDGE = BridgeNetwork.parse("fourfold0 10.177.0.1/29")
SERVICE = service_row(uid=790007)
OWNER = User(790007, 790007, "web")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.find({"FOURFOLD_HOME": str(tmp_path)}, 0)


def started(paths: Paths, registry: Registry, supervisor: Supervisor) -> Starter:
    gateway = cast(Any, None)
    return Starter(
        paths, Settings(), registry, Artifacts(paths), Images(paths), Disks(paths), supervisor, gateway, BRIDGE
    )


@pytest.fixture
def starter(paths: Paths) -> Starter:
    supervisor = cast(Supervisor, SimpleNamespace(powers=Powers(users=True)))
    return Starter(
        paths,
        Settings(),
        cast(Registry, None),
        Artifacts(paths),
        Images(paths),
        Disks(paths),
        supervisor,
        cast(Any, None),
        BRIDGE,
    )


def test_a_volume_is_there_with_its_owner_or_not_at_all(
    paths: Paths, starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that dies while it makes one leaves nothing that the next one takes for a volume."""
    given: list[tuple[int, int]] = []

    def dies(path: Path, uid: int, gid: int) -> None:
        raise SystemExit

    monkeypatch.setattr("os.chown", dies)
    with pytest.raises(SystemExit):
        starter._volume(SERVICE, "data", OWNER)
    monkeypatch.setattr("os.chown", lambda path, uid, gid: given.append((uid, gid)))
    folder = starter._volume(SERVICE, "data", OWNER)
    assert folder == paths.volumes / "shop" / "web" / "data" and folder.stat().st_mode & 0o777 == 0o700
    assert given == [(790007, 790007)]
    (folder / "note").touch()
    assert starter._volume(SERVICE, "data", OWNER) == folder and (folder / "note").exists() and len(given) == 1


def test_a_disk_that_is_not_there_is_the_worlds_fault(paths: Paths, starter: Starter) -> None:
    paths.volumes.parent.mkdir(parents=True)
    paths.volumes.symlink_to("/nonexistent/disk")
    with pytest.raises(WorldError, match="cannot make the volume data of web: "):
        starter._volume(SERVICE, "data", OWNER)


SPEC = {"source": "./x", "run": "x", "container": {}}


@pytest.fixture
def placing(paths: Paths) -> Iterator[Starter]:
    """Of services at rest, on a bridge with room for five."""
    layout.create(paths, root=False)
    store = open_in(paths, FixedClock())
    registry = Registry(store)
    with registry.transaction():
        registry.put_app(app_row(externals={"db": {"url": "postgres://db.internal/shop"}}))
        registry.add_release(release(spec=SPEC))
        registry.put_service(service_row(internal_port=19000))
    supervisor = cast(Supervisor, SimpleNamespace(powers=Powers()))
    yield started(paths, registry, supervisor)
    store.database.close()


def spec(port: Any = 8080, network: str = "bridge") -> Service:
    return Service.model_validate(SPEC | {"port": port, "container": {"network": network}})


@pytest.mark.parametrize(
    ("service", "role", "expected"),
    [
        (spec(), "serve", ("10.177.0.2", 8080)),
        (spec({"fixed": 9000}), "serve", ("10.177.0.2", 9000)),
        (spec(None), "serve", ("10.177.0.2", None)),
        (spec(), "before", ("10.177.0.2", None)),
        (spec({"fixed": 9000}, "host"), "serve", (None, 9000)),
    ],
)
def test_where_a_container_is_reached(placing: Starter, service: Service, role: Any, expected: Any) -> None:
    row = instance("a", role=role, pattern="container", port=1, address="10.177.0.6")
    placed = placing.placed(row, service)
    assert (placed.address, placed.port) == expected


def test_a_process_is_reached_on_loopback(placing: Starter) -> None:
    placed = placing.placed(instance("a", pattern="process", address="10.177.0.2", port=8080), spec())
    assert placed.address is None and placed.port in range(20_000, 30_000)


def test_a_machine_without_a_bridge_has_a_port_of_this_host_and_calls_what_is_forwarded(placing: Starter) -> None:
    placing._supervisor = cast(Supervisor, SimpleNamespace(powers=Powers(machines=True, forwarded=True)))
    service = Service.model_validate(SPEC | {"port": {"fixed": 9000}})
    with placing._registry.transaction():
        placing._registry.add_release(release(spec=SPEC | {"port": 9000}, number=2))
        placing._registry.put_service(service_row(release=2, internal_port=19000))
    row = placing.placed(instance("a", pattern="vm", release=2), service)
    assert row.address is None and row.port is not None and row.port in range(20_000, 30_000)
    assert placing.urls(row)["WEB_URL"] == "http://198.18.0.100:19000" and placing.names(row) == {"web": "198.18.74.56"}
    found = placing._forwarded(row, service, BootFacts("k", "i", (), "/disks/init"))
    calls = ((Listen("198.18.0.100", 19000), 19000), (Listen("198.18.74.56", 9000), 19000))
    assert found == Forwarded("/disks/init", (row.port, 9000), calls)


def test_addresses_go_round_and_end(placing: Starter) -> None:
    given = []
    for number in range(5):
        row = placing.placed(instance(f"a{number}", pattern="container"), spec())
        with placing._registry.transaction():
            placing._registry.put_instance(row)
        given.append(row.address)
    assert given == [f"10.177.0.{number}" for number in range(2, 7)]
    with pytest.raises(WorldError, match=r"cannot find a free address: all of 10.177.0.0/29 are in use"):
        placing.placed(instance("b", pattern="container"), spec())
    with placing._registry.transaction():
        placing._registry.put_instance(replace(placing._registry.instances["a1"], state="gone"))
    assert placing.next_address() == "10.177.0.3"


def test_a_one_off_has_its_address_alone_until_it_ends(placing: Starter) -> None:
    attached = {"a"}
    cast(Any, placing._supervisor).attached = lambda: attached
    assert placing.lent(instance("a", role="run", pattern="container"), spec()).address == "10.177.0.2"
    assert {placing.next_address() for _ in range(8)} == {f"10.177.0.{number}" for number in range(3, 7)}
    attached.clear()
    assert "10.177.0.2" in {placing.next_address() for _ in range(5)}
    assert placing.lent(instance("b", role="run", pattern="process"), spec()).address is None


def test_urls_are_those_that_the_consumer_reaches(placing: Starter) -> None:
    external = {"DB_URL": "postgres://db.internal/shop"}
    assert placing.urls(instance("a")) == external | {"WEB_URL": "http://127.0.0.1:19000"}
    assert placing.urls(instance("a", address="10.177.0.4")) == external | {"WEB_URL": "http://10.177.0.1:19000"}
    with placing._registry.transaction():
        moved = replace(placing._registry.services["shop.web"], internal_port=19001)
        placing._registry.put_service(moved)
    assert placing.urls(instance("a")) == external | {"WEB_URL": "http://127.0.0.1:19001"}


def test_urls_are_those_of_a_new_app_after_a_purge(placing: Starter) -> None:
    """Its first release has the number of the old one's."""
    assert placing.urls(instance("a"))["WEB_URL"] == "http://127.0.0.1:19000"
    registry = placing._registry
    with registry.transaction():
        registry.remove_service(registry.services["shop.web"])
        registry.store.releases.remove_app("shop")
        registry.forget_releases([("shop", "web", 1)])
    with registry.transaction():
        registry.add_release(release(spec=SPEC | {"port": 5432, "protocol": "tcp"}))
        registry.put_service(service_row(internal_port=19000))
    assert placing.urls(instance("a"))["WEB_URL"] == "tcp://127.0.0.1:19000"


DIGEST, LAYER = "a" * 64, "b" * 64


@pytest.fixture
def built(placing: Starter, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Starter:
    """The release has a tree as a process, and the same tree over one layer as a container."""
    paths.work.mkdir(parents=True, exist_ok=True)
    for digest, image in ((DIGEST, Image((LAYER,), stop_signal="SIGQUIT")), (DIGEST[::-1].replace("a", "c"), None)):
        tree = paths.work / "tree"
        tree.mkdir()
        (tree / "run").touch()
        placing._artifacts.publish(Artifact(digest, tree, argv=("/app/run",), image=image))
        pattern = "process" if image is None else "container"
        with placing._registry.transaction():
            placing._registry.put_build(build(pattern=pattern, artifact=digest, argv=("/app/run", pattern)))
    powers = Powers(users=True, private=True, containers=True, runtimes=("runc",))
    placing._supervisor = cast(Supervisor, SimpleNamespace(powers=powers))
    profile = {"defaultAction": "x", "syscalls": []}
    monkeypatch.setattr("fourfold.control.instances.containers.read_profile", lambda: profile)
    return placing


def test_each_instance_is_what_it_was_started_as(built: Starter, paths: Paths) -> None:
    """While a service moves there are both, of one release."""
    root = paths.work / "root"
    root.mkdir()
    built._images.publish(LAYER, root, 1)
    service = built._registry.spec("shop.web", 1)
    process = built.launch(instance("shop.web-1-a", pattern="process"), service, None)
    container = built.launch(instance("shop.web-1-b", pattern="container", address="10.177.0.4"), service, ("ls",))
    assert (process.argv, process.bundle, process.network) == (("/app/run", "process"), None, "host")
    assert container.bundle is not None and container.argv == ("ls",)
    assert container.bundle.overlays["rootfs"] == (str(built._images.folder(LAYER)),)
    assert container.network == BRIDGE.instance("10.177.0.4")


def test_a_handler_goes_by_the_same_name_as_a_process(built: Starter) -> None:
    handler = Service.model_validate(SPEC | {"function": {"handler": "app.handler"}})
    row = instance("shop.web-1-a")
    assert built.launch(row, handler, None).env["AWS_LAMBDA_FUNCTION_NAME"] == "shop-web"
    assert "AWS_LAMBDA_FUNCTION_NAME" not in built.launch(row, spec(), None).env
    built.named = lambda app, service: ("Given", "$LATEST")
    assert built.launch(row, handler, None).env["AWS_LAMBDA_FUNCTION_NAME"] == "Given"


def test_an_image_says_how_its_containers_end(built: Starter) -> None:
    container, process = instance("shop.web-1-b", pattern="container"), instance("shop.web-1-a", pattern="process")
    assert (built.stop_signal(container), built.stop_signal(process)) == ("QUIT", "TERM")
    built._registry.store.database.execute("DELETE FROM builds")
    assert built.stop_signal(container) == "TERM"


def test_what_is_lost_or_was_never_built_is_said(built: Starter) -> None:
    service = built._registry.spec("shop.web", 1)
    with pytest.raises(NotFoundError, match="layers of its image are not in the store"):
        built.launch(instance("shop.web-1-b", pattern="container"), service, None)
    assert built.stop_signal(instance("shop.web-1-b", pattern="container")) == "QUIT"
    built._registry.store.database.execute("DELETE FROM builds")
    with pytest.raises(NotFoundError, match="release 1 was not built for pattern process"):
        built.launch(instance("shop.web-1-a"), service, None)


def test_an_invoker_has_a_port_of_this_host_and_addresses_for_its_sandboxes(placing: Starter) -> None:
    placing._bridge = BridgeNetwork.parse("fourfold0 10.177.0.1/24")
    handler = Service.model_validate(SPEC | {"port": {"fixed": 9000}, "function": {"concurrency": 20}})
    row = placing.placed(instance("a", pattern="function", address="10.177.0.2"), handler)
    assert (row.address, row.block) == (None, "10.177.0.128/27") and row.port in range(20_000, 30_000)
    assert placing.urls(row)["WEB_URL"] == "http://10.177.0.1:19000"
    with placing._registry.transaction():
        placing._registry.put_instance(row)
    other = placing.placed(instance("b", pattern="function"), spec(None))
    assert (other.port, other.block) == (None, "10.177.0.160/28")
    beside = placing.placed(instance("c", pattern="function", role="run"), handler)
    assert (beside.port, beside.block) == (None, None)
    greedy = Service.model_validate(SPEC | {"function": {"concurrency": 1000}})
    with pytest.raises(WorldError, match="cannot find 1024 free addresses for the sandboxes of web"):
        placing.placed(instance("d", pattern="function"), greedy)


def test_a_function_is_started_as_its_invoker(built: Starter, paths: Paths) -> None:
    tree, digest = paths.work / "tree", "d" * 64
    (tree / "layer").mkdir(parents=True)
    function = Function("python", ("/usr/bin/python3",), "app.handler", {"PATH": "/var/task/bin"}, ("layer",))
    built._artifacts.publish(Artifact(digest, tree, argv=(), function=function))
    with built._registry.transaction():
        built._registry.put_build(build(pattern="function", artifact=digest, argv=()))
    built._supervisor.powers = replace(built._supervisor.powers, functions=True)
    row = instance("shop.web-1-f", pattern="function", block="10.177.0.4/30", port=20000)
    got = built.launch(row, built._registry.spec("shop.web", 1), None)
    told = Config.from_json(str(got.env[CONFIG]))
    assert got.argv == (sys.executable, "-I", "-m", "fourfold.functions") and told.network.block == "10.177.0.4/30"
    assert told.tree == str(built._artifacts.tree(digest)) and told.layers == (f"{told.tree}/layer",)
    assert len(told.socket) <= LONGEST_SOCKET and told.usage == str(paths.usage / "shop.web")
    assert built.stop_signal(row) == "TERM" and str(got.env["fn.PATH"]).startswith("/var/task/bin:")
    beside = built.launch(instance("r", pattern="function", role="run"), built._registry.spec("shop.web", 1), ("ls",))
    assert beside.argv == ("ls",) and beside.private and str(beside.env["PATH"]).startswith("/app/bin:")
