"""What the price pages reckon as examples, and what places round up, add and leave out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fourfold.cost import ec2, fargate, lambdas, share
from fourfold.cost.demand import of_traffic
from fourfold.cost.model import HOURS_PER_MONTH, Wanted
from fourfold.cost.prices import Prices
from fourfold.cost.sizes import Bill, NoSize
from tests.cost.examples import GIB, MIB, PRICES, footprint, monthly_requests, traffic

NONE_RESERVED = PRICES.model_copy(
    update={"assumptions": PRICES.assumptions.model_copy(update={"utilization": 1.0, "headroom": 0.0})}
)


def test_fargate_as_its_price_page_reckons() -> None:
    """5 tasks of 1 vCPU, 2 GB and 30 GB of disk for 10 minutes on each of 30 days: $1.01 + $0.22 + $0.03."""
    wanted = Wanted(min_instances=5, memory_limit=2 * GIB, cpu_limit=1.0, storage_bytes=30 * GIB)
    bill = fargate.cost(of_traffic(traffic(0)), footprint("container"), wanted, PRICES)
    part_of_month = 30 * 600 / 3600 / HOURS_PER_MONTH
    cents = {name: round(dollars * part_of_month, 2) for name, dollars in bill.parts.items()}
    assert bill.size == "1 vCPU, 2 GB" and cents == {"vCPUs": 1.01, "memory": 0.22, "disks": 0.03}


@pytest.mark.parametrize(
    ("megabytes", "requests", "seconds", "duration", "for_requests"),
    [
        (512, 3e6, 1.0, 1_500_000 * 0.0000166667, 0.60),
        (128, 30e6, 0.2, 750_000 * 0.0000166667, 6.00),
        (1536, 3e6, 0.12, 540_000 * 0.0000166667, 0.60),
    ],
    ids=["512 MB for a second", "128 MB for 200 ms", "mobile backend"],
)
def test_lambda_as_its_price_page_reckons(
    megabytes: int, requests: float, seconds: float, duration: float, for_requests: float
) -> None:
    """Its examples, before the free tier is taken off. They only wait: computing is slower with little memory."""
    function = footprint("function", cpu_seconds_per_request=0.0, seconds_per_request=seconds)
    wanted = Wanted(min_instances=0, memory_limit=megabytes * MIB)
    bill = lambdas.cost(of_traffic(monthly_requests(requests)), function, wanted, PRICES)
    assert bill.parts == pytest.approx({"requests": for_requests, "duration": duration})
    assert bill.size == f"{megabytes} MB"


def test_provisioned_sandboxes_as_the_price_page_reckons() -> None:
    """1,000 of 1,024 MB for two hours, 1.2 million requests of a second: $0.24 + $30.00 for being there + $11.67."""
    function = footprint("function", cpu_seconds_per_request=0.0, seconds_per_request=1.0)
    wanted = Wanted(memory_limit=GIB, provisioned=1000)
    bill = lambdas.cost(of_traffic(traffic(600_000, 600_000)), function, wanted, PRICES)
    two_hours = 2 / HOURS_PER_MONTH
    cents = {name: round(dollars * two_hours, 2) for name, dollars in bill.parts.items()}
    assert cents == {"requests": 0.24, "provisioned": 30.00, "duration": 11.67}


def test_more_than_is_provisioned_is_billed_as_without() -> None:
    function = footprint("function", cpu_seconds_per_request=0.0, seconds_per_request=1.0)
    bill = lambdas.cost(of_traffic(traffic(7200)), function, Wanted(memory_limit=GIB, provisioned=1), PRICES)
    seconds = HOURS_PER_MONTH * 3600
    assert bill.parts["duration"] == pytest.approx(seconds * (0.0000097222 + 0.0000166667))
    assert bill.instances.peak == 2


def test_provisioned_sandboxes_are_there_beside_those_that_come_for_more() -> None:
    """Two of them all day, and in one hour of two the third that it takes beside them."""
    function = footprint("function", cpu_seconds_per_request=0.0, seconds_per_request=1.0)
    busy = lambdas.cost(of_traffic(traffic(3 * 3600, 0)), function, Wanted(provisioned=2), PRICES).instances
    assert busy.hours == pytest.approx(2.5 * HOURS_PER_MONTH) and busy.peak == 3
    calm = lambdas.cost(of_traffic(traffic(36)), function, Wanted(provisioned=2), PRICES).instances
    assert calm.hours == pytest.approx(2 * HOURS_PER_MONTH) and calm.peak == 2


def test_a_function_computes_slower_with_less_memory() -> None:
    """At 1,769 MB it has one vCPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html."""
    rates = PRICES.lambda_
    busy = footprint("function", cpu_seconds_per_request=0.01, seconds_per_request=0.03)
    assert lambdas.billed_seconds(busy, 1769, rates) == 0.03
    assert lambdas.billed_seconds(busy, 1769 / 4, rates) == 0.06
    assert lambdas.billed_seconds(busy, 4 * 1769, rates) == 0.03, "one thread cannot use more than one"
    parallel = footprint("function", cpu_seconds_per_request=0.04, seconds_per_request=0.02)
    assert lambdas.billed_seconds(parallel, 2 * 1769, rates) == 0.02
    assert lambdas.billed_seconds(parallel, 1769, rates) == 0.04
    none = footprint("function", cpu_seconds_per_request=0.0, seconds_per_request=0.0)
    assert lambdas.billed_seconds(none, 128, rates) == 0.001, "no request is free"


def test_t3_large_all_month_with_200_gb() -> None:
    """$0.0832 an hour and $0.08 per GB-month: $60.74 and $16.00."""
    wanted = Wanted(memory_limit=7 * GIB, storage_bytes=200 * GIB)
    bill = ec2.cost(of_traffic(traffic(0)), footprint("process"), wanted, PRICES)
    parts = {name: round(dollars, 2) for name, dollars in bill.parts.items()}
    assert bill.size == "t3.large" and parts == {"instances": 60.74, "disks": 16.00, "surplus CPU": 0.00}
    assert bill.memory_needed == pytest.approx(7.15 / 8) and bill.capacity_used == 0.0


def test_what_burstable_machines_use_beyond_their_baseline() -> None:
    """A t3.medium's baseline is 20 % of 2 vCPUs over 24 hours; the rest is $0.05 per vCPU-hour."""
    prices = _only("t3.medium")
    work = footprint("process", cpu_seconds_per_request=1.0, requests_per_second=1e9)
    half_a_day = traffic(*[3600.0] * 12, *[0.0] * 12)
    bill = ec2.cost(of_traffic(half_a_day), work, Wanted(), prices)
    assert bill.parts["surplus CPU"] == pytest.approx(HOURS_PER_MONTH * (0.5 - 0.4) * 0.05)
    rare = ec2.cost(of_traffic(traffic(*[3600.0] * 9, *[0.0] * 15)), work, Wanted(), prices)
    assert rare.parts["surplus CPU"] == 0.0, "credits of idle hours pay for busy ones of the same day"


@pytest.mark.parametrize(
    ("memory", "cpu", "size"),
    [
        (100 * MIB, None, "0.25 vCPU, 0.5 GB"),
        (513 * MIB, None, "0.25 vCPU, 1 GB"),
        (2049 * MIB, None, "0.5 vCPU, 3 GB"),
        (100 * MIB, 0.3, "0.5 vCPU, 1 GB"),
        (17 * GIB, None, "4 vCPU, 17 GB"),
        (17 * GIB, 8.0, "8 vCPU, 20 GB"),
        (100 * GIB, None, "16 vCPU, 104 GB"),
    ],
)
def test_the_smallest_task_that_fits(memory: int, cpu: float | None, size: str) -> None:
    bill = fargate.cost(
        of_traffic(traffic(0)), footprint("container"), Wanted(memory_limit=memory, cpu_limit=cpu), PRICES
    )
    assert bill.size == size


@pytest.mark.parametrize(
    ("pattern", "wanted", "size"),
    [
        ("vm", Wanted(), "t3.nano"),
        ("vm", Wanted(memory_limit=int(0.4 * GIB)), "t3.micro"),
        ("process", Wanted(memory_limit=int(0.3 * GIB)), "t3.nano"),
        ("vm", Wanted(cpu_limit=3.0), "t3.xlarge"),
        ("vm", Wanted(memory_limit=100 * GIB), "r6i.4xlarge"),
    ],
)
def test_the_cheapest_machine_that_fits(pattern: str, wanted: Wanted, size: str) -> None:
    assert ec2.cost(of_traffic(traffic(0)), footprint(pattern), wanted, PRICES).size == size  # type: ignore[arg-type]


def test_a_larger_machine_is_taken_where_many_small_ones_cost_more() -> None:
    """300 requests a second take 3 cores, of machines that are to be 70 % busy at most."""
    prices = PRICES.model_copy(update={"ec2": PRICES.ec2.model_copy(update={"surplus_vcpu_hour": 0.2})})
    work = footprint("process", cpu_seconds_per_request=0.01, requests_per_second=1e9)
    one, many = [ec2.cost(of_traffic(traffic(rate * 3600.0)), work, Wanted(), prices) for rate in (1, 300)]
    assert (one.size, one.instances.peak) == ("t3.nano", 1) and (many.size, many.instances.peak) == ("c6i.large", 3)
    assert many.capacity_used == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (ec2.cost, "no type of EC2 in the price list has 625 GiB"),
        (fargate.cost, "no task of Fargate in the price list has 625 GB"),
        (lambdas.cost, "a function of Lambda has at most 10,240 MB, and this needs 640,000"),
        (share.on_ec2, "m6i.xlarge, which others share, does not have 500 GiB: name a larger one as `ec2.host`"),
    ],
)
def test_nothing_fits(at: Callable[..., Bill], said: str) -> None:
    with pytest.raises(NoSize) as none:
        at(of_traffic(traffic(0)), footprint("process", memory_bytes=500.0 * GIB), Wanted(), PRICES)
    assert none.value.what == said
    with pytest.raises(NoSize, match="64 vCPUs" if at != lambdas.cost else "MB"):
        large = footprint("process", memory_bytes=9.0 * GIB)
        at(of_traffic(traffic(0)), large, Wanted(cpu_limit=64.0), PRICES)


def test_own_hardware() -> None:
    """The first of an hour at its memory, each further one at less; CPU as it is used; and what hosts are empty."""
    prices = _own(core_hour=0.07, gib_hour=0.01, disk_gib_month=0.5)
    work = footprint("process", memory_bytes=4.0 * GIB, next_memory_bytes=1.0 * GIB, requests_per_second=1.0)
    bill = share.on_own_hardware(
        of_traffic(traffic(0, 3600 * 1.4)), work, Wanted(min_instances=1, storage_bytes=2 * GIB), prices
    )
    assert bill.instances.hours == pytest.approx(1.5 * HOURS_PER_MONTH) and bill.instances.peak == 2
    cores = 0.7 * 0.004 * HOURS_PER_MONTH
    memory = (4.0 + 0.5) * HOURS_PER_MONTH * 0.01
    assert bill.parts == pytest.approx({"cores": cores / 0.7 * 0.07, "memory": memory / 0.7, "disks": 1.0})


def test_a_share_of_a_machine_that_is_full_costs_what_the_machine_costs() -> None:
    """m6i.xlarge: 4 vCPUs and 16 GiB for $0.192 an hour; 70 % of both are used."""
    work = footprint("process", memory_bytes=0.7 * 16 * GIB, cpu_seconds_per_request=1.0, requests_per_second=100.0)
    bill = share.on_ec2(of_traffic(traffic(0.7 * 4 * 3600)), work, Wanted(storage_bytes=10 * GIB), PRICES)
    assert bill.parts["cores"] + bill.parts["memory"] == pytest.approx(0.192 * HOURS_PER_MONTH)
    assert bill.parts["disks"] == pytest.approx(0.8) and bill.size == "share of m6i.xlarge"


def test_what_a_limit_lets_an_instance_answer() -> None:
    work = footprint("process", cpu_seconds_per_request=0.01, requests_per_second=1000.0)
    busy = of_traffic(traffic(35 * 3600.0))
    assert share.on_own_hardware(busy, work, Wanted(), PRICES).instances.peak == 1
    assert share.on_own_hardware(busy, work, Wanted(cpu_limit=0.5), PRICES).instances.peak == 1
    assert share.on_own_hardware(busy, work, Wanted(cpu_limit=0.25), PRICES).instances.peak == 2


JOB = {"memory_bytes": 0.35 * GIB, "cpu_seconds_per_request": 300.0, "seconds_per_request": 600.0}


def test_a_job_is_there_while_it_runs() -> None:
    """Ten minutes a night, of which half are spent on computing."""
    nightly = of_traffic(traffic(1, *[0] * 23))
    nights = HOURS_PER_MONTH / 24
    wanted = Wanted(min_instances=0, job=True, cpu_limit=1.0)
    task = fargate.cost(nightly, footprint("container", **JOB), wanted, PRICES)
    assert (task.size, task.instances.peak, task.capacity_used) == ("1 vCPU, 2 GB", 1, None)
    assert task.dollars == pytest.approx(nights / 6 * (0.04048 + 2 * 0.004445))
    machine = ec2.cost(nightly, footprint("vm", **JOB), wanted, _only("t3.micro"))
    assert machine.parts["instances"] == pytest.approx(nights / 6 * 0.0104)
    assert machine.parts["surplus CPU"] == pytest.approx(nights * (300 - 0.2 * 600) / 3600 * 0.05)
    assert machine.parts["disks"] == pytest.approx(nights / 6 / HOURS_PER_MONTH * 8 * 0.08)
    own = share.on_own_hardware(nightly, footprint("process", **JOB), wanted, PRICES)
    assert own.parts["memory"] == pytest.approx(nights / 6 * 0.35 / 0.7 * 0.0009)


def test_a_job_takes_longer_with_a_part_of_a_core_and_is_billed_a_minute_at_least() -> None:
    nightly = of_traffic(traffic(1, *[0] * 23))
    nights = HOURS_PER_MONTH / 24
    wanted = Wanted(min_instances=0, job=True)
    slow = fargate.cost(nightly, footprint("container", **JOB), wanted, PRICES)
    assert slow.size == "0.25 vCPU, 0.5 GB" and slow.instances.hours == pytest.approx(nights * 1500 / 3600)
    brief = footprint("container", cpu_seconds_per_request=0.1, seconds_per_request=2.0, start_seconds=0.5)
    assert fargate.cost(nightly, brief, wanted, PRICES).instances.hours == pytest.approx(nights / 60)
    assert fargate.cost(of_traffic(traffic(0)), brief, wanted, PRICES).dollars == 0


def test_sandboxes_on_own_hardware_are_there_while_there_are_requests() -> None:
    work = footprint("function", seconds_per_request=0.7)
    idle, busy = share.on_own_hardware(
        of_traffic(traffic(0, 1, 7200)), work, Wanted(min_instances=1), PRICES
    ).instances[:2]
    assert idle == pytest.approx(HOURS_PER_MONTH) and busy == pytest.approx(HOURS_PER_MONTH * 2 / 3)


def test_consumers_without_requests_take_their_cpu() -> None:
    consumer = footprint("process", background_cores=0.5, cpu_seconds_per_request=0.0, requests_per_second=float("inf"))
    nothing = of_traffic(traffic(0))
    assert share.on_own_hardware(nothing, consumer, Wanted(), PRICES).parts["cores"] == pytest.approx(
        0.5 * HOURS_PER_MONTH / PRICES.assumptions.utilization * PRICES.own_hardware.core_hour
    )
    assert fargate.cost(nothing, consumer, Wanted(), PRICES).size == "0.5 vCPU, 1 GB"
    machine = ec2.cost(nothing, consumer, Wanted(), PRICES)
    assert machine.parts["surplus CPU"] > 0 and machine.capacity_used is None


def test_of_no_instances_nothing_is_used_or_paid() -> None:
    idle = footprint("container", cpu_seconds_per_request=0.0, requests_per_second=float("inf"))
    bill = fargate.cost(of_traffic(traffic(0)), idle, Wanted(min_instances=0), PRICES)
    assert (bill.dollars, bill.instances.peak, bill.capacity_used) == (0.0, 0, None)


def _only(name: str) -> Prices:
    """With one type of machine."""
    types = {name: PRICES.ec2.types[name]}
    return PRICES.model_copy(update={"ec2": PRICES.ec2.model_copy(update={"types": types})})


def _own(**given: float) -> Prices:
    return PRICES.model_copy(update={"own_hardware": PRICES.own_hardware.model_copy(update=given)})
