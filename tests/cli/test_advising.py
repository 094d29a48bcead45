"""advise: by the daemon, or by the file alone; what is printed; sensible answers for every example."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fourfold.cli.options import Options
from fourfold.cli.printing.advice_page import overview, page
from fourfold.control.advising.request import AdviceRequest
from fourfold.cost.advice.model import Advice, Blocker, Change, Command, PatternAdvice, Reason
from tests.api.serving import Serving
from tests.cli.conftest import Cli

EXAMPLES = Path(__file__).parents[2] / "examples"
FILE = (
    "app: shop\nservices:\n  web: {run: node web.js, port: 8080, route: {path: /}}\n  ticker: {run: node ticker.js}\n"
)

ADVISED = {
    "hello": {"web": "process"},
    "photos": {"thumbnail": "function", "counter": "function"},
    "shop": {
        "storefront": "container",
        "catalog": "container",
        "orders": "container",
        "worker": "process",
        "docs": "process",
    },
    "webapps": dict.fromkeys(("notes", "words", "rates", "convert", "quotes", "clock", "search", "reviews"), "shared"),
}

ADVICE = Advice(
    app="shop",
    service="catalog",
    now="process",
    advised="container",
    archetype="a web server",
    sure="fairly",
    why_sure="process is close",
    known=("its service file", "its source"),
    unknown=("traffic",),
    patterns=(
        PatternAdvice(
            pattern="container",
            standing="advised",
            points=3,
            reasons=(
                Reason(rule="a", text="requests reach it: they do", origin="file", points=2),
                Reason(rule="b", text="it takes 2 MiB more", origin="measured", evidence="of 5", points=1),
                Reason(rule="c", text="it costs more", origin="prices", evidence="Fargate", points=-1),
            ),
            monthly_cost=12.5,
            place="Fargate",
        ),
        PatternAdvice(
            pattern="process",
            standing="close",
            points=2,
            reasons=(Reason(rule="a", text="requests reach it: they do", origin="file", points=1),),
        ),
        PatternAdvice(
            pattern="shared",
            standing="poor",
            points=-1,
            blockers=(Blocker(kind="setting", why="it says no group", fix="add one"),),
        ),
        PatternAdvice(
            pattern="function",
            standing="impossible",
            points=9,
            reasons=(Reason(rule="d", text="not shown", origin="general", points=9),),
            blockers=(Blocker(kind="program", why="it has volumes", fix="drop them"),),
        ),
    ),
    changes=(
        Change(pattern="vm", condition="it were untrusted", open=False, how="--assume"),
        Change(pattern="function", condition="it were quiet", open=True, how="look"),
    ),
    surer=(Command(command="fourfold compare catalog", tells="start and memory"),),
    first=("add `x`",),
    move="fourfold deploy catalog --as container",
    notes=("measured while the machine was busy",),
)

PAGE = """\
catalog: container instead of process
  A web server. Fairly sure: process is close. Drawn from its service file and its source. Not known: traffic.

  container  advised   $12.50 a month: Fargate
    ++    requests reach it: they do [service file]
    +     it takes 2 MiB more [measured, of 5]
    -     it costs more [prices, Fargate]
  process    close
    +     requests reach it
  shared     poor
    needs it says no group (add one)
  function   impossible
    no    it has volumes (drop them)

  It would be another, if
    function   it were quiet (not known yet: look)
    vm         it were untrusted (--assume)

  Measured while the machine was busy.

  To be surer
    fourfold compare catalog
          start and memory

  To move it, after this in its file
    add `x`
    fourfold deploy catalog --as container
"""


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize("example", ADVISED)
def test_every_service_of_the_examples(cli: Cli, example: str) -> None:
    result = cli("advise", "-f", str(EXAMPLES / example / "fourfold.yaml"), "-o", "json")
    assert result.code == 0
    found = [Advice.model_validate(each) for each in json.loads(result.out)]
    assert {each.service: each.advised for each in found} == ADVISED[example]
    for each in found:
        assert any(reason.points > 0 for reason in each.patterns[0].reasons), "it says why"
        assert any(change.pattern == "vm" for change in each.changes), "code of strangers is another matter"
        assert "fourfold compare" in each.surer[0].command or "--usage" in each.surer[0].command


def test_what_keeps_it_from_a_better_one_comes_first() -> None:
    advice = ADVICE.model_copy(update={"better": "function"})
    assert page(advice, Options())[1] == "  function would be better: it has volumes"
    assert overview([advice], Options())[1].endswith("fairly sure  function would be better: it has volumes")


def test_what_drives_it_away_can_count_most() -> None:
    against = Reason(rule="e", text="12 % of its requests were answered with errors", origin="measured", points=-4)
    container, process, *others = ADVICE.patterns
    moved = ADVICE.model_copy(
        update={"patterns": (container, process.model_copy(update={"reasons": (against,)}), *others)}
    )
    assert overview([moved], Options())[1].endswith(f"fairly sure  {against.text}")
    assert overview([ADVICE], Options())[1].endswith("fairly sure  requests reach it")


def test_examples_are_all_there() -> None:
    assert {path.parent.name for path in EXAMPLES.glob("*/fourfold.yaml")} == ADVISED.keys()


def test_without_a_daemon(cli: Cli, home: Path) -> None:
    folder = home / "work"
    (folder / "fourfold.yaml").write_text(FILE)
    (folder / "web.js").write_text("\nsetInterval(look, 10)\n")
    result = cli("advise")
    assert (result.code, result.err) == (0, "why, and what would change it: fourfold advise SERVICE\n")
    assert [line.split()[:3] for line in result.out.splitlines()[1:]] == [
        ["web", "process", "container"],
        ["ticker", "process", "stay"],
    ]
    page = cli("advise", "web").out
    assert "this machine" in page
    assert "[source, web.js:2]" in page, "whoever doubts a sign can look"
    assert not (home / "run/fourfold.sock").exists(), "it has started none"


def test_the_page(cli: Cli, server: Serving) -> None:
    server.facade.advices = [ADVICE]
    result = cli("advise", "-a", "shop", "catalog", "--assume", "untrusted=no")
    assert (result.code, result.out) == (0, PAGE)
    assert server.facade.calls == [
        ("advise", ("shop", AdviceRequest(services=["catalog"], assume={"untrusted": "no"})))
    ]


def test_nothing_fits(cli: Cli, server: Serving) -> None:
    stopped = [each.model_copy(update={"standing": "impossible"}) for each in ADVICE.patterns[-1:]]
    server.facade.advices = [ADVICE.model_copy(update={"advised": None, "patterns": tuple(stopped), "move": None})]
    assert cli("advise", "-a", "shop").out.startswith("catalog runs under no pattern as it is\n")
    server.facade.advices *= 2
    assert cli("advise", "-a", "shop").out.splitlines()[1].split()[:3] == ["catalog", "process", "none"]


def test_the_daemon_is_told_what_the_file_and_its_source_show(cli: Cli, server: Serving, home: Path) -> None:
    folder = home / "work"
    (folder / "fourfold.yaml").write_text(FILE)
    (folder / "web.js").write_text("fs.writeFileSync(x, y)")
    server.facade.advices = [ADVICE]
    assert cli("advise", "web").code == 0
    ((_, (app, request)),) = server.facade.calls
    assert app == "shop"
    assert request.spec["services"].keys() == {"web", "ticker"}
    assert request.sources["web"].signs == {"writes": "web.js:1"}
    assert request.digests.keys() == {"web", "ticker"}


HOURS = "hour,requests,cpu_seconds,memory_bytes,response_seconds\n" + "".join(
    f"2026-11-{day:02}T{hour:02}:00:00Z,{3000 if hour == 9 else 0},2,{40 * 2**20},0.05\n"
    for day in range(1, 8)
    for hour in range(24)
)


def test_exported_hours_tell_when_it_is_asked_and_what_it_costs(cli: Cli, home: Path) -> None:
    (home / "work/fourfold.yaml").write_text(FILE)
    (home / "work/hours.csv").write_text(HOURS)
    result = cli("advise", "web", "--usage", "hours.csv")
    assert result.code == 0
    assert "Drawn from its service file, its source, 168 hours of traffic and costs." in " ".join(result.out.split())
    assert "96 % of its hours have no request" in result.out
    assert "a month" in result.out.partition("function")[2]
    (home / "work/hours.csv").write_text(HOURS.replace("hour,", "service,hour,").replace("\n2026", "\nother,2026"))
    refused = cli("advise", "web", "--usage", "hours.csv")
    assert (refused.code, refused.out) == (2, "")
    assert "it is about other, and not about web" in refused.err
    assert cli("advise", "--usage", "nowhere.csv").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "cannot find service nope: shop has web, ticker"),
        (["--assume", "untrusted"], "cannot suppose 'untrusted': it is not FACT=VALUE"),
        (["--assume", "untrusted=perhaps"], "cannot suppose untrusted=perhaps: it is yes or no"),
        (["--assume", "untrustd=yes"], "cannot suppose untrustd: there is no such fact"),
        (["-f", "other.yaml"], "other.yaml"),
    ],
)
def test_what_is_refused(cli: Cli, home: Path, arguments: list[str], message: str) -> None:
    (home / "work/fourfold.yaml").write_text(FILE)
    result = cli("advise", *arguments)
    assert result.code == 2
    assert message in result.err


def test_a_narrow_terminal_is_kept_to(cli: Cli, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    server.facade.advices = [ADVICE]
    assert all(len(line) <= 60 for line in cli("advise", "-a", "shop").out.splitlines())
