"""Usage journals become sums by month; each line counts once, whoever dies in between."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fourfold.control.costing import SUMS, Costing, check_month, is_over
from fourfold.control.settings import Settings
from fourfold.cost.functions import Taken
from fourfold.errors import UserError
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


def test_sums_by_month(paths: Paths, folder: Path) -> None:
    found = Costing(paths, Settings()).months("shop", "a")
    assert found["2026-11"] == Taken(6, 1, 507, 507 * 128 * MIB)
    assert found["2026-12"] == Taken(1, 0, 100, 100 * 128 * MIB)
    view = Costing(paths, Settings(price_gb_second=1.0, price_request=0.5)).view("shop", None, "2026-12")
    assert [row.service for row in view.functions] == ["a"] and view.functions[0].gb_seconds == 0.0125
    assert (view.functions[0].requests_usd, view.total_usd) == (0.5, 0.5125)
    assert Costing(paths, Settings()).view("other", None, "2026-12").functions == []


def test_only_what_nobody_writes_is_folded() -> None:
    names = [OLD, NEW, LAST]
    assert [*filter(is_over(["shop.a-1-y"], names), names)] == [OLD, NEW]
    assert [*filter(is_over(["shop.a-1-x"], names), names)] == [NEW, LAST]
    assert [*filter(is_over([], names), names)] == names


@pytest.mark.parametrize("dies_after", ["nothing", "the sums are written", "one file is removed"])
def test_folding_counts_each_line_once(
    paths: Paths, folder: Path, dies_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    costing = Costing(paths, Settings())
    before = costing.months("shop", "a")
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
            assert costing.fold(over) > 0
        except SystemExit:
            assert dies_after != "nothing"
    assert costing.months("shop", "a") == before
    costing.fold(is_over(["shop.a-1-x"], [NEW]))  # the one that had ended runs again
    assert costing.months("shop", "a") == before
    (folder / LAST).write_bytes(line(billed=7) * 2)  # it goes on
    costing.fold(is_over([], [path.name for path in folder.iterdir()]))
    assert [path.name for path in folder.iterdir()] == [SUMS]
    after = costing.months("shop", "a")
    assert after["2026-11"] == before["2026-11"] + Taken(1, 0, 7, 7 * 128 * MIB)
    assert after["2026-12"] == before["2026-12"]


@pytest.mark.parametrize("text", ["2026", "2026-13", "November", "2026-1", ""])
def test_nonsense_is_no_month(text: str) -> None:
    with pytest.raises(UserError, match="it is no month"):
        check_month(text)
