"""Promises 1 and 3 for routes: users see a new one only when what is behind it is there, and a failure changes none."""

from __future__ import annotations

import pytest

from tests.control.life import Life, Want, lived


class Watch:
    """Everything that a path was ever answered with."""

    def __init__(self, life: Life, path: str) -> None:
        self.seen: list[str] = []
        self._life, self._path = life, path

    def __call__(self) -> None:
        now = self._life.answers(self._path)
        if self.seen[-1:] != [now]:
            self.seen.append(now)


@lived
def test_a_new_service_has_its_routes_at_once(life: Life) -> None:
    life.slow.add("web")
    life.up(Want("web", ("/shop",)))
    assert life.answers("/shop") == "503"


@lived
def test_a_route_that_moves_does_so_when_the_new_release_serves(life: Life) -> None:
    life.up(Want("web", ("/shop",)))
    life.settle()
    life.up(Want("web", ("/store",)))
    old, new = Watch(life, "/shop"), Watch(life, "/store")
    life.settle(old, new)
    assert old.seen == ["web 1", "404"]
    assert new.seen == ["404", "web 2"]


@lived
def test_a_service_with_routes_is_http_until_they_go(life: Life) -> None:
    life.up(Want("web", ("/shop",)))
    life.settle()
    for want, meanwhile in ((Want("web", protocol="tcp"), False), (Want("web", ("/shop",)), True)):
        life.slow.add("web")
        life.up(want)
        life.settle()
        assert [backend.tcp for backend in life.config().backends] == [meanwhile]
        life.slow.clear()
        life.settle()
        assert [backend.tcp for backend in life.config().backends] == [want.protocol == "tcp"]


@lived
def test_a_release_that_fails_changes_no_route(life: Life) -> None:
    life.up(Want("web", ("/shop",)))
    life.settle()
    life.broken.add(("web", 2))
    life.up(Want("web", ({"path": "/shop", "strip": True, "timeout": "5s"}, "/store")))
    before, rules = Watch(life, "/shop"), life.rules()
    life.settle(before)
    assert life.states() == {"shop.web": "rolled-back"}
    assert before.seen == ["web 1"]
    assert life.rules() == rules


@lived
def test_rollback_off_leaves_the_routes_that_the_old_ones_serve(life: Life) -> None:
    life.up(Want("web", ("/shop",)))
    life.settle()
    life.broken |= {("web", 2), ("web", 3)}
    life.up(Want("web", ("/store",), rollback="off"))
    life.settle()
    assert (life.states(), life.routes()) == ({"shop.web": "failed"}, {"/shop": "web"})
    life.up(Want("web", ("/depot",)))
    life.settle()
    assert (life.answers("/shop"), life.routes()) == ("web 1", {"/shop": "web"})


@pytest.mark.parametrize("removed", [True, False])
def test_a_route_goes_to_a_new_service_when_that_is_ready(removed: bool, tmp_path: object) -> None:
    @lived
    def test(life: Life) -> None:
        life.up(Want("web", ("/shop",)))
        life.settle()
        life.slow.add("web2")
        life.up(Want("web", ("/other",), removed=removed), Want("web2", ("/shop",)))
        shop = Watch(life, "/shop")
        life.settle(shop)
        assert shop.seen == ["web 1"]  # however long the new one takes
        life.slow.clear()
        life.settle(shop)
        assert shop.seen == ["web 1", "web2 1"]
        assert life.routes() == {"/shop": "web2"} if removed else {"/shop": "web2", "/other": "web"}
        assert ("shop.web" in life.registry.services) is not removed

    test(tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("removed", [True, False])
def test_a_new_owner_that_fails_leaves_all_as_it_was(removed: bool, tmp_path: object) -> None:
    @lived
    def test(life: Life) -> None:
        life.up(Want("web", ("/shop",)))
        life.settle()
        life.broken.add(("web2", 1))
        life.up(Want("web", (), removed=removed), Want("web2", ("/shop",)))
        shop = Watch(life, "/shop")
        life.settle(shop)
        assert shop.seen == ["web 1"]
        assert life.states() == {"shop.web": "rolled-back", "shop.web2": "failed"}
        assert "web2 failed" in str(life.deployment("shop.web").reason)
        assert not life.registry.services["shop.web"].removed

    test(tmp_path)  # type: ignore[arg-type]


@lived
def test_an_owner_that_fails_after_it_gave_a_route_away_has_it_again(life: Life) -> None:
    life.up(Want("web", ("/shop",)))
    life.settle()
    life.broken.add(("web", 2))
    life.up(Want("web", ("/other",)), Want("web2", ("/shop",)))
    shop = Watch(life, "/shop")
    life.settle(shop)
    assert shop.seen == ["web 1", "web2 1", "web 1"]
    assert life.states() == {"shop.web": "rolled-back", "shop.web2": "done"}
    assert life.routes() == {"/shop": "web"}


@lived
def test_two_services_swap_their_routes(life: Life) -> None:
    life.up(Want("a", ("/one",)), Want("b", ("/two",)))
    life.settle()
    life.up(Want("a", ("/two",)), Want("b", ("/one",)))
    one, two = Watch(life, "/one"), Watch(life, "/two")
    life.settle(one, two)
    assert not {"404", "503"} & {*one.seen, *two.seen}
    assert life.routes() == {"/one": "b", "/two": "a"}
    assert (one.seen[-1], two.seen[-1]) == ("b 2", "a 2")


@lived
def test_a_new_owner_that_depends_on_the_old_one_does_not_wait_for_ever(life: Life) -> None:
    life.up(Want("web", ("/shop",)))
    life.settle()
    life.up(Want("web", ("/other",)), Want("web2", ("/shop",), depends_on=("web",)))
    shop = Watch(life, "/shop")
    life.settle(shop)
    assert shop.seen == ["web 1", "web 2", "web2 1"]
    assert life.states() == {"shop.web": "done", "shop.web2": "done"}


@lived
def test_a_release_without_a_port_leaves_the_old_one_reachable(life: Life) -> None:
    life.up(Want("web", ("/shop",)))
    life.settle()
    life.broken.add(("web", 2))
    life.up(Want("web", port=None))
    shop = Watch(life, "/shop")
    life.settle(shop)
    assert shop.seen == ["web 1"]
    assert life.registry.services["shop.web"].internal_port
    life.up(Want("web", port=None))
    life.settle()
    assert life.config().backends == ()


@lived
def test_routes_of_an_app_that_goes_down_go_at_once(life: Life) -> None:
    life.up(Want("web", ("/shop",)))
    life.settle()
    life.up(Want("web", removed=True), kind="down")
    assert life.routes() == {}
    life.up(Want("web", ("/shop",)), app="other")
    assert [rule.backend for rule in life.rules()] == ["other.web"]


@lived
def test_where_two_apps_claim_one_route_the_other_routes_stay(life: Life) -> None:
    life.up(Want("web", ("/shop", "/a")))
    life.up(Want("web", ("/shop", "/b")), app="other")
    life.settle()
    assert {(rule.path, rule.backend) for rule in life.rules()} == {
        ("/shop", "other.web"), ("/a", "shop.web"), ("/b", "other.web"),
    }  # fmt: skip


@lived
def test_a_new_address_comes_when_all_of_the_up_is_deployed(life: Life) -> None:
    life.up(Want("web", ("/",)), Want("api", ("/api",)), listen=":8001")
    life.settle()
    life.slow.add("api")
    life.up(Want("web", ("/",)), Want("api", ("/api",)), listen=":8002")
    life.settle()
    assert (life.states()["shop.web"], life.listens()) == ("done", [":8001"])
    life.slow.clear()
    life.settle()
    assert life.listens() == [":8002"]
    life.up(listen=":8003")  # and at once where nothing is to be deployed
    assert life.listens() == [":8003"]


@lived
def test_what_changes_meanwhile_does_not_keep_an_address_from_coming(life: Life) -> None:
    """One that stays at a step of a canary, say, while others of the app are scaled."""
    life.up(Want("web", ("/",)), Want("api", ("/api",)), listen=":8001")
    life.settle()
    life.slow.add("api")
    life.up(Want("web", ("/",)), Want("api", ("/api",)), listen=":8002")
    life.settle()
    life.rescale("web", 2)
    life.settle()
    assert life.listens() == [":8001"]
    life.slow.clear()
    life.settle()
    assert life.listens() == [":8002"]


@lived
def test_a_failed_up_leaves_the_address(life: Life) -> None:
    life.up(Want("web", ("/",)), listen=":8001")
    life.settle()
    life.broken.add(("web", 2))
    life.up(Want("web", ("/",)), listen=":8002")
    life.settle()
    assert (life.states(), life.listens()) == ({"shop.web": "rolled-back"}, [":8001"])
    life.rescale("web", 2)  # which says nothing of the address
    life.settle()
    assert life.listens() == [":8001"]
    life.up(Want("web", ("/",)), Want("new", ("/new",)), listen=":8002")
    assert life.listens() == [":8001"]
    life.settle()
    assert life.listens() == [":8002"]
