"""As many instances as the load asks for: soon, without a request lost, and whatever else happens meanwhile."""

from __future__ import annotations

from typing import Any

from tests.e2e.home import UNKIND, Home, web_file
from tests.e2e.traffic import Traffic
from tests.support.wait import until

SCALED = "instances: {min: 1, max: 4, per_instance: {rps: 20}, window: {down: 4s}}"
LOOKS = {"FOURFOLD_SCALE_INTERVAL": "1"}


def file_of(home: Home, version: str, scaled: str = SCALED) -> str:
    return web_file(home.port, VERSION=version, **UNKIND).replace("instances: 1", scaled)


def scaling(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = home.service()["scaling"]
    return found


def looks_until_it_follows(home: Home) -> set[str]:
    """Looks after which there were still as many as before."""
    looked: set[str] = set()

    def follows() -> bool:
        service = home.service()
        if service["desired"] > 1:
            return True
        looked.add(service["scaling"]["looked_at"])
        return False

    until(follows, 60, "more instances")
    return looked


def test_a_load_comes_and_goes(home: Home) -> None:
    home.environ |= LOOKS
    file = home.app(file_of(home, "one"))
    home.run("up", "-f", str(file))
    assert (home.service()["desired"], scaling(home)["active"]) == (1, True)
    until(lambda: scaling(home)["looked_at"], 60, "the first look")
    with Traffic(home.port, rps=2) as always:
        with Traffic(home.port, rps=35) as burst:
            burst.flow()
            # The look before the load, which was still the last one, and the one in whose interval it began.
            assert len(looks_until_it_follows(home)) <= 2
            until(lambda: home.service()["ready"] >= 3, 60, "three to be ready")
            count = home.service()["desired"]
            file.write_text(file_of(home, "two"))
            home.run("up", "-f", str(file))
            assert home.service()["desired"] >= 3, "a deploy keeps the count"
            home.kill_daemon()
            home.start_daemon()
            assert home.service()["desired"] >= 3, "and so does another daemon"
            home.run("rollback", "-a", "app", "web")
            assert 3 <= home.service()["desired"] <= max(count, 4)
            burst.flow()
        until(lambda: home.service()["desired"] == 1 and len(home.instances()) == 1, 60, "the burst to be over")
        always.flow()
    always.unharmed()
    burst.unharmed()
    reasons = [event["data"] for event in home.events() if event["kind"] == "service.scaled"]
    assert "requests per second, 20 for each instance" in reasons[0]["reason"]
    assert reasons[-1]["instances"] == 1 and "in the last 4 s" in reasons[-1]["reason"]


def test_commands_and_files_say_something_else(home: Home) -> None:
    home.environ |= LOOKS
    file = home.app(file_of(home, "one", "instances: 3"))
    home.run("up", "-f", str(file))
    file.write_text(file_of(home, "one", SCALED.replace("4s", "1h")))
    assert "instances 3 -> 1-4 at 20 rps after 0s/1h" in home.run("plan", "-f", str(file)).stdout
    home.run("up", "-f", str(file))
    assert home.service()["desired"] == 3, "it begins with as many as there are"
    home.run("scale", "-a", "app", "web=2")
    assert "`fourfold scale web=auto` lets its load say" in home.run("status", "-a", "app").stdout
    home.run("up", "-f", str(file))
    assert (home.service()["ready"], scaling(home)["active"]) == (2, False)
    home.run("scale", "-a", "app", "web=auto")
    assert "2/2 (1-4)" in home.run("status", "-a", "app").stdout
    assert "from 1 to 4 at 20 rps" in home.run("explain", "-a", "app", "web").stdout
    file.write_text(file_of(home, "one", SCALED.replace("max: 4", "max: 1")))
    home.run("up", "-f", str(file))
    assert home.service()["ready"] == 1
    refused = home.run("scale", "-f", str(file), "web=2", "--save", code=2)
    assert "cannot write services.web.instances" in refused.stderr
