"""Guests of a host: started, ended, told of, adopted, whatever dies; and a host that does as it likes."""

from __future__ import annotations

from fourfold.supervise.model import Note
from tests.supervise.hosting import GUEST, HOST, OTHER, guest, host
from tests.supervise.rig import Rig, alive, names, scenario, until


def test_the_life_of_a_guest() -> None:
    async def test(rig: Rig) -> None:
        notes: list[Note] = []
        rig.on_note = notes.append
        main = await host(rig)
        await rig.ask(HOST)
        inside = await guest(rig, "inside", name=OTHER)
        assert inside == main and rig.usage(OTHER) is None
        worker = await guest(rig, "run", "sh", "-c", "echo up; exec sleep 1000")
        assert worker != main and rig.running() == {HOST: main, OTHER: main, GUEST: worker}
        assert rig.run_of(GUEST) == 1
        await until(lambda: len(rig.lines(GUEST)) == 2, "it wrote nothing")
        assert rig.lines(GUEST) == ["run [('NAME', 'value'), ('PATH', '/usr/bin:/bin')] of the artifact", "up"]
        of_each = [f"{name}{end}" for name in (GUEST, OTHER) for end in ("", ".json", ".log")]
        assert names(rig.paths.hosts / f"{HOST}.1") == ["own", *of_each]
        assert await rig.signal(GUEST, "TERM") and await rig.signal(OTHER, "TERM")
        ends = [await rig.exit_of(name) for name in (GUEST, OTHER)]
        assert [(end.code, end.signal, end.oom, end.run) for end in ends] == [(None, 15, False, 1), (0, None, False, 1)]
        await until(lambda: notes, "what it left behind was not told")
        assert notes == [Note(OTHER, "leak", "it has left a thread behind")]
        await until(lambda: names(rig.paths.hosts / f"{HOST}.1") == ["own"], "something of them was left")
        assert rig.running() == {HOST: main} and not alive(worker.pid)
        assert not await rig.signal(GUEST, "TERM") and not await rig.kill(GUEST)
        await rig.kill(HOST)
        await rig.exit_of(HOST)
        await until(lambda: not names(rig.paths.hosts) and not rig.groups(), "something of the host was left")
        assert [end.instance for end in rig.exits] == [GUEST, OTHER, HOST]

    scenario(test)
