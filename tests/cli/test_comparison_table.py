"""What `compare` prints: figures below each other, who is best and worst, and the reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fourfold.cli.comparison.rows import figures, number
from fourfold.cli.comparison.table import page
from fourfold.cli.printing.formats import duration
from fourfold.cost.comparison import BreakEven, Comparison, Costs, Facts
from fourfold.cost.rounds import Measured
from fourfold.cost.summary import summary
from tests.cost.comparing import PROCESS, SUBJECT, VM, round_of

MIB = 1024 * 1024
SHARES = Facts(own_process=True, own_user=True, own_file_system=False, own_network=False, own_kernel=False,
               limits_enforced=("memory", "pids"), limits_missing={"cpu": "no such controller"}, setuid_files=12,
               packages=1514, open_ports=(20001,))  # fmt: skip
APART = Facts(own_process=True, own_user=True, own_file_system=True, own_network=True, own_kernel=True,
              kernel="6.1.0-30-cloud-amd64", limits_enforced=("memory", "pids"), open_ports=(8080,),
              files_written=("/var/cache/x",))  # fmt: skip


def plain(text: str, colour: str) -> str:
    return text


def marked(text: str, colour: str) -> str:
    return f"<{colour}>{text}</>"


def comparison() -> Comparison:
    process = replace(PROCESS, facts=SHARES, next_instance_memory_bytes=20 * MIB, requests_lost_in_deploy=0)
    noisy = (round_of(0.3, 40 * MIB), round_of(0.9, 40 * MIB))
    container = replace(process, pattern="container", live=False, facts=None, rounds=noisy, reason="it ended")
    vm = replace(VM, facts=APART, next_instance_memory_bytes=150 * MIB, requests_lost_in_deploy=2)
    none = Measured("function", available=False, reason="cannot run as a function: not as root")
    made = summary(SUBJECT, [process, container, vm, none])
    return made.model_copy(update={"break_even": (BreakEven(between=("vm", "process"), requests_per_month=1.24e6),)})


WANTED = """\
shop.catalog, release 3: 3 rounds in 11 min 40 s, on 2 cores and 24 GiB, Linux 6.18.0, virtual machines under TCG
asked 20 times a second for 10 s a round: 1 request from its access log, such as GET /

                           process *  container             vm
build, first                 1.0 s +      1.0 s +        9.0 s !
start                       210 ms +     600 ms ?        4.5 s !
restart                     710 ms +      1.1 s ?        5.0 s !
memory, idle                29 MiB +     40 MiB        144 MiB !
memory, under load          57 MiB +     80 MiB        287 MiB !
memory, each next one       20 MiB +     20 MiB +      150 MiB !
  so many in a GiB              51           51              6
CPU, 1000 requests           1.5 s        1.5 s          1.5 s
requests/s, at most            900          900            900
answered in, p50              2 ms         2 ms           2 ms
answered in, p95              4 ms         4 ms           4 ms
answered in, p99              6 ms         6 ms           6 ms
errors                           0            0              0
requests lost in it              0 +          0 +            2 !

own process                    yes            -            yes
own user                       yes            -            yes
own file system                 no            -            yes
own network                     no            -            yes
own kernel                      no            -     yes, 6.1.0
limits                 memory pids            -    memory pids
setuid files                    12            -              -
packages                     1,514            -              -
open ports                   20001            -           8080
files written                    0            -              1

+ best  ! worst  ? its rounds differ too much to tell  * it runs so now

process: cpu is not limited: no such controller
container: not measured to its end: it ended
vm: virtual machines are emulated here: under KVM they start and answer many times faster
function: not available: cannot run as a function: not as root
in the cloud vm is cheaper below 1.24 million requests a month, process above
"""


def test_a_column_for_each_pattern() -> None:
    assert "\n".join(page(comparison(), plain)) + "\n" == WANTED


def test_what_has_no_port_was_asked_nothing() -> None:
    made = comparison()
    load = made.load.model_copy(update={"requests_per_second": 0.0, "distinct_requests": 0, "examples": ()})
    assert page(made.model_copy(update={"load": load}), plain)[1] == "asked nothing: it takes no requests"


def test_colours_say_what_signs_say_and_move_nothing() -> None:
    lines = page(comparison(), marked)
    (start,) = [line for line in lines if line.startswith("start")]
    assert start == "start                  <green>     210 ms +</>     600 ms ?  <red>      4.5 s !</>"
    (noise,) = [line for line in lines if line.startswith("function")]
    assert noise.startswith("function: <yellow>not available</>: ")


def test_verbose_shows_ranges_and_what_was_written() -> None:
    lines = page(comparison(), plain, verbose=True)
    (start,) = [line for line in lines if line.startswith("start") and " to " in line]
    assert start.split("  ")[-1].strip() == "4.0 s to 5.0 s"
    assert "vm: wrote /var/cache/x, which goes with the instance" in lines


def test_a_narrow_terminal_has_it_in_parts() -> None:
    lines = page(comparison(), plain, width=60)
    headers = [line.split() for line in lines if line.startswith(" " * 23) and line.strip()]
    assert headers == [["process", "*", "container"], ["vm"]]
    table = lines[3 : lines.index("+ best  ! worst  ? its rounds differ too much to tell  * it runs so now")]
    assert max(map(len, table)) <= 60
    assert sum(line.startswith("start ") for line in table) == 2
    assert page(comparison(), plain, width=200) == page(comparison(), plain)


def test_bases_and_members_that_take_next_to_nothing() -> None:
    process = replace(PROCESS, artifact_bytes=5 * MIB, base_bytes=None, next_instance_memory_bytes=70_000)
    container = replace(process, pattern="container", base_bytes=60 * MIB, next_instance_memory_bytes=10 * MIB)
    rows = {
        row.label: [cell.text for cell in row.cells] for row in figures(summary(SUBJECT, [process, container]).patterns)
    }
    assert rows["  on a base of"] == ["-", "60 MiB"]
    assert rows["  so many in a GiB"] == ["over 1,000", "102"]


def test_money_is_told_with_the_traffic_and_the_prices() -> None:
    made = summary(SUBJECT, [PROCESS, VM])
    costs = [Costs(place=place, as_of="2026-11", points=((1e6, 2.0),)) for place in ("EC2 host", "EC2")]
    priced = [
        each.model_copy(update={"monthly_cost": amount, "own_hardware_monthly_cost": own, "costs": cost})
        for each, amount, own, cost in zip(made.patterns, (2.31, 12.5), (0.24, 0.078), costs, strict=True)
    ]
    lines = page(made.model_copy(update={"patterns": tuple(priced), "requests_per_month": 5.256e7}), plain)
    cost, rented, own = (line.split() for line in lines if line.startswith(("a month,", "  rented at")))
    assert cost == ["a", "month,", "cloud", "$2.31", "+", "$12.50", "!"]
    assert rented == ["rented", "at", "EC2", "host", "EC2"]
    assert own == ["a", "month,", "own", "hardware", "$0.24", "!", "$0.078", "+"]
    assert "a month is one of 52.6 million requests at prices of 2026-11" in lines


def test_nothing_could_be_measured() -> None:
    lines = page(summary(SUBJECT, [Measured("vm", available=False, reason="no QEMU")]), plain)
    assert lines[2:] == ["", "vm: not available: no QEMU"]


def test_noise_comes_first_of_what_is_said() -> None:
    made = summary(SUBJECT, [replace(PROCESS, rounds=(round_of(1.0, other=2.0),))])
    assert [line for line in page(made, plain) if line.startswith("noisy: other programs took 2.0 of 2 cores")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (0.00021, "0.21 ms"), (0.0021, "2.1 ms"), (0.2144, "214 ms"), (4.52, "4.5 s"), (90.0, "1 min 30 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers() -> None:
    assert [number(each) for each in (0, 0.5, 12.345, 12345.6)] == ["0", "0.5", "12.3", "12,346"]
