"""What `--save` wrote into the file is no override: the next `up` has nothing to do, and a later edit counts."""

from __future__ import annotations

from tests.e2e.home import Home, web_file


def test_scale_save(home: Home) -> None:
    file = home.app(web_file(home.port))
    home.run("up", "-f", str(file))
    home.run("scale", "-f", str(file), "web=2", "--save")
    assert home.service()["overrides"] == {} and home.service()["ready"] == 2
    home.run("plan", "-f", str(file), "--detailed-exitcode", code=0)
    file.write_text(file.read_text().replace("instances: 2", "instances: 1"))
    home.run("up", "-f", str(file))
    assert home.service()["desired"] == 1
