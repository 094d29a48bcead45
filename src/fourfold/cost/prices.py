"""What things cost, in US dollars: the price file. GB are of 1024 MB, as AWS counts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from fourfold.cost.comparison import Pattern
from fourfold.errors import Problem, SpecError
from fourfold.spec.base import Model
from fourfold.spec.places import at, nearest, similar
from fourfold.spec.units import shown
from fourfold.spec.yaml.node import Node, Path, dotted, merge, plain

Place = Literal["host", "ec2", "fargate", "lambda"]
"""In the cloud; `host`: a share of a machine of EC2."""
PLACES: dict[Place, str] = {"host": "EC2 host", "ec2": "EC2", "fargate": "Fargate", "lambda": "Lambda"}
"""And their names."""
OWN_HARDWARE = "own hardware"
_FUNCTIONS_ONLY: Place = "lambda"


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"expected a number, got {shown(value)}")
    return value


Dollars = Annotated[float, BeforeValidator(_not_bool), Field(ge=0, allow_inf_nan=False)]
Amount = Annotated[float, BeforeValidator(_not_bool), Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(_not_bool), Field(gt=0, le=1)]
Month = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])(-\d\d)?$")]


@dataclass(frozen=True)
class FunctionPrice:
    """What functions that run here are billed at: as a default that of AWS Lambda in `prices.yaml`."""

    gb_second: float = 0.0000166667
    """A second with 1 GiB allotted, billed by the millisecond."""
    request: float = 0.0000002


class Dated(Model):
    as_of: Month
    source: str = Field(min_length=1)
    """Address of the price list, or what else it was taken from."""


class Places(Model):
    process: Place
    shared: Place
    container: Place
    vm: Place
    function: Place

    @model_validator(mode="after")
    def _possible(self) -> Places:
        for pattern in ("process", "shared", "container", "vm"):
            if getattr(self, pattern) == _FUNCTIONS_ONLY:
                raise ValueError(f"{pattern} cannot be priced as lambda: that runs functions only")
        if self.function in ("ec2", "fargate"):
            raise ValueError(f"function cannot be priced as {self.function}: choose lambda or host")
        return self

    def of(self, pattern: Pattern) -> Place:
        place: Place = getattr(self, pattern)
        return place


class Assumptions(Model):
    utilization: Share
    """Of what an instance can answer, given to it on average over an hour; of what a host has, given to instances."""
    headroom: Annotated[float, Field(ge=0, le=10)]
    """Share of the measured memory that is rented beyond it."""


class Rates(NamedTuple):
    """What is paid for a share of a host."""

    core_hour: float
    gib_hour: float
    disk_gib_month: float


class OwnHardware(Dated):
    core_hour: Dollars
    gib_hour: Dollars
    disk_gib_month: Dollars

    @property
    def rates(self) -> Rates:
        return Rates(self.core_hour, self.gib_hour, self.disk_gib_month)


class Disk(Model):
    gb_month: Dollars
    least_gb: Dollars


class MachineType(Model):
    vcpus: Amount
    memory_gib: Amount
    hour: Dollars
    baseline: Share = 1
    """Share of each vCPU that the price covers."""


class Host(Model):
    """A machine that instances share."""

    type: str
    cpu_part: Share
    """Of its price, for its vCPUs; the rest is for its memory."""


class Ec2(Dated):
    system_memory_gib: Dollars
    surplus_vcpu_hour: Dollars
    disk: Disk
    host: Host
    types: dict[str, MachineType] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_the_host(self) -> Ec2:
        if self.host.type not in self.types:
            raise ValueError(f"host.type is {self.host.type}, which is not in `types`: add it there, or name another")
        return self

    @property
    def rates(self) -> Rates:
        """Of a share of its host."""
        kind = self.types[self.host.type]
        cores, memory = kind.hour * self.host.cpu_part, kind.hour * (1 - self.host.cpu_part)
        return Rates(cores / (kind.vcpus * kind.baseline), memory / kind.memory_gib, self.disk.gb_month)


def _sizes(value: Any) -> Any:
    """`{from: 2, to: 8, step: 1}` as a list."""
    if not isinstance(value, dict):
        return value
    expected = "expected a list of sizes or {from: 2, to: 8, step: 1}"
    given = [float(each) for each in value.values() if isinstance(each, int | float)]
    if set(value) != {"from", "to", "step"} or len(given) != 3:
        raise ValueError(expected)
    least, most, step = (float(value[name]) for name in ("from", "to", "step"))
    if not (0 < least <= most and step > 0 and (most - least) / step <= 1000):
        raise ValueError(f"{expected}: rising, at most a thousand")
    return [least + index * step for index in range(int((most - least) / step + 1e-9) + 1)]


class TaskSize(Model):
    vcpus: Amount
    memory_gb: Annotated[tuple[Amount, ...], BeforeValidator(_sizes), Field(min_length=1)]

    def least_memory(self, gib: float) -> float | None:
        """The smallest with at least so much."""
        return min((size for size in self.memory_gb if size >= gib - 1e-9), default=None)


class Fargate(Dated):
    vcpu_hour: Dollars
    gb_hour: Dollars
    disk_gb_hour: Dollars
    disk_included_gb: Dollars
    sizes: tuple[TaskSize, ...] = Field(min_length=1)


class LambdaPrices(Dated):
    request: Dollars
    gb_second: Dollars
    provisioned_gb_second: Dollars
    provisioned_duration_gb_second: Dollars
    least_mb: Amount
    most_mb: Amount
    mb_per_vcpu: Amount


class Prices(Model):
    """A price file."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)

    places: Places
    assumptions: Assumptions
    own_hardware: OwnHardware
    ec2: Ec2
    fargate: Fargate
    lambda_: LambdaPrices = Field(alias="lambda")

    def dated(self, place: Place) -> Dated:
        by_place: dict[Place, Dated] = {"host": self.ec2, "ec2": self.ec2, "fargate": self.fargate}
        return by_place.get(place, self.lambda_)

    def as_of(self) -> dict[str, str]:
        """Name of the place -> year and month, of those that a pattern is priced at."""
        return {name: each.as_of for name, each in self._used().items()}

    def sources(self) -> dict[str, str]:
        return {name: each.source for name, each in self._used().items()}

    def _used(self) -> dict[str, Dated]:
        used = set(self.places.model_dump().values())
        cloud = {name: self.dated(place) for place, name in PLACES.items() if place in used}
        return {**cloud, OWN_HARDWARE: self.own_hardware}

    @property
    def function_price(self) -> FunctionPrice:
        return FunctionPrice(self.lambda_.gb_second, self.lambda_.request)


def parse_prices(texts: Sequence[tuple[str, str]]) -> Prices:
    """Price files, each (name, text), lowest first: maps merge, lists replace, null removes.

    Raises SpecError with all that is wrong in them, and where.
    """
    from fourfold.spec.yaml import yaml  # 25 ms that the daemon need not take to start

    trees = [
        yaml.read(text, name, "it holds prices, such as `own_hardware: {core_hour: 0.01}`") for name, text in texts
    ]
    tree = reduce(merge, trees)
    try:
        return Prices.model_validate(plain(tree))
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        # Entries that are wrong are told of themselves, and not that a list without them is empty.
        told = [item for item in wrong if item["type"] != "too_short" or not item["input"]]
        raise SpecError([_problem(item, tree) for item in told]) from None


def _problem(item: Any, tree: Node) -> Problem:
    loc, kind, context = item["loc"], item["type"], item.get("ctx", {})
    node, path = nearest(tree, loc)
    if kind == "missing":
        return at(tree, path, f"`{loc[-1]}` is missing")
    if kind == "extra_forbidden":
        known = _keys(path[:-1])
        message, where = f"unknown key: expected one of {', '.join(known)}", node.place
        return Problem(dotted(path), message, where.file, where.line, where.column, similar(str(path[-1]), known))
    if kind == "value_error":
        return at(tree, path, str(context["error"]))
    return at(tree, path, f"expected {_expected(kind, context)}, got {shown(plain(node))}")


def _expected(kind: str, context: Any) -> str:
    if kind == "literal_error":
        return str(context["expected"])
    if kind == "string_pattern_mismatch":
        return "a month, such as 2026-06"
    if kind.startswith("string"):
        return "text"
    if kind in ("model_type", "dict_type"):
        return "a map"
    if kind == "tuple_type":
        return "a list"
    if kind == "too_short":
        return "at least one entry"
    bounds = {"ge": "at least", "gt": "more than", "le": "at most"}
    return " ".join(["a number", *(f"{word} {context[name]:g}" for name, word in bounds.items() if name in context)])


def _keys(path: Path) -> list[str]:
    """What the map that stands at `path` may hold."""
    model: type[Model] = Prices
    for part in path:
        for name, field in model.model_fields.items():
            if part == (field.alias or name):
                kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
                model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Model)), model)
                break
    return [field.alias or name for name, field in model.model_fields.items()]
