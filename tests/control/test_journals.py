"""Usage journals become sums by month; each line counts once, whoever dies in between."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fourfold.control.costing.journals import SUMS, Journals, Sums, is_over
from fourfold.cost.functions import Taken
from fourfold.functions.journal import to_line
from fourfold.functions.model import Usage
from fourfold.paths import Paths

MIB = 2**20
NOVEMBER = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp()
OLD, NEW, LAST = "shop.a-1-x-170-1.0.usage", "shop.a-1-y-171-2.0.usage", "shop.a-1-y-171-2.1.usage"


def line(at: float = NOVEMBER, ended: str = "ok", billed: int = 100) -> bytes:
    return to_line(Usage(at, "id", 1, float(billed), billed, 0.0, 128 * MIB, 50 * MIB, ended))  # type: ignore[arg-type]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.find({"FOURFOLD_HOME": str(tmp_path)}, 0)


@pytest.fixture
def folder(paths: Paths) -> Path:
    made = paths.usage / "shop.a"
    made.mkdir(parents=True)
    (made / OLD).write_bytes(line() + line(ended="timeout") + line(NOVEMBER + 2) + line()[:20])
    (made / NEW).write_bytes(line() * 3)
    (made / LAST).write_bytes(line(billed=7))
    return made


def test_sums_by_month_and_by_hour(paths: Paths, folder: Path) -> None:
    found = Journals(paths).sums("shop", "a")
    assert found.months["2026-11"] == Taken(6, 1, 507, 507 * 128 * MIB)
    assert found.months["2026-12"] == Taken(1, 0, 100, 100 * 128 * MIB)
    last = int(NOVEMBER) - 3599
    assert found.hours == {last: found.months["2026-11"], last + 3600: found.months["2026-12"]}


def test_months_are_kept_longer_than_hours(paths: Paths, folder: Path) -> None:
    journals = Journals(paths)
    journals.fold(is_over([], [OLD, NEW, LAST]))
    later = OLD.replace("-x-", "-z-")
    (folder / later).write_bytes(line(NOVEMBER + 401 * 86_400))
    journals.fold(is_over([], [later]))
    found = journals.sums("shop", "a")
    assert len(found.hours) == 1 and len(found.months) == 3
    stored = json.loads((folder / SUMS).read_bytes())
    del stored["hours"]  # as they were when there were none
    (folder / SUMS).write_text(json.dumps(stored))
    assert journals.sums("shop", "a") == Sums(found.months, {})


def test_only_what_nobody_writes_is_folded() -> None:
    names = [OLD, NEW, LAST]
    assert [*filter(is_over(["shop.a-1-y"], names), names)] == [OLD, NEW]
    assert [*filter(is_over(["shop.a-1-x"], names), names)] == [NEW, LAST]
    assert [*filter(is_over([], names), names)] == names


@pytest.mark.parametrize("dies_after", ["nothing", "the sums are written", "one file is removed"])
def test_folding_counts_each_line_once(
    paths: Paths, folder: Path, dies_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journals = Journals(paths)
    before = journals.sums("shop", "a")
    removed: list[Path] = []
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if dies_after == "the sums are written" or (dies_after == "one file is removed" and removed):
            raise SystemExit
        removed.append(path)
        real(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", unlink)
        over = is_over(["shop.a-1-y"], [path.name for path in folder.iterdir()])
        try:
            assert journals.fold(over) > 0
        except SystemExit:
            assert dies_after != "nothing"
    assert journals.sums("shop", "a") == before
    journals.fold(is_over(["shop.a-1-x"], [NEW]))  # the one that had ended runs again
    assert journals.sums("shop", "a") == before
    (folder / LAST).write_bytes(line(billed=7) * 2)  # it goes on
    journals.fold(is_over([], [path.name for path in folder.iterdir()]))
    assert [path.name for path in folder.iterdir()] == [SUMS]
    after = journals.sums("shop", "a")
    assert after.months["2026-11"] == before.months["2026-11"] + Taken(1, 0, 7, 7 * 128 * MIB)
    assert after.months["2026-12"] == before.months["2026-12"]
