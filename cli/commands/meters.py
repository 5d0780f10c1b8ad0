"""`weir meters`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.commands.times import typed_time
from cli.connection import Connection, connected_to, new_request_id, pages
from cli.errors import WrongUsage
from cli.output import as_dict, console, instant, print_json, print_list, print_table, state
from libs.common.wire import timestamp_out
from weir.metering.v1.metering_pb2 import (
    DimensionFilter,
    Event,
    ListMetersRequest,
    Meter,
    MeterDefinition,
    MeterVersion,
    Rounding,
)
from weir.metering.v1.meters_pb2 import (
    CreateMeterVersionRequest,
    EvaluateExpressionRequest,
    ListMeterVersionsRequest,
)


@dataclass(frozen=True, slots=True)
class MeterWords:
    """What of a definition is typed; None is not."""

    event_code: str | None
    value_property: str | None
    filters: Sequence[str] | None
    expression: str | None
    rounding: str | None
    dimensions: Sequence[str] | None
    start: str


async def list_meters(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(lambda token: services.metering.ListMeters(ListMetersRequest(page_token=token)), "meters")
    if as_json:
        print_list("meters", found)
        return
    rows = [
        (each.code, state(Meter.Aggregation, each.aggregation), each.event_code, each.value_property or "-")
        for each in found
    ]
    print_table(("code", "aggregation", "event", "property"), rows, nothing="No meters yet.")


async def list_versions(data: Path, code: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await _versions(services, code)
    if as_json:
        print_list("versions", found)
        return
    columns = (">version", "from", "event", "property", "filters", "expression", "rounding", "dimensions")
    print_table(columns, [_row(each) for each in found], nothing="No versions.")


async def change_meter(data: Path, code: str, words: MeterWords, *, as_json: bool) -> None:
    effective = timestamp_out(typed_time(words.start, "--from")) if words.start else None
    async with connected_to(data) as services:
        newest = (await _versions(services, code))[-1].definition
        request = CreateMeterVersionRequest(
            request_id=new_request_id(), code=code, definition=_changed(newest, words), effective_time=effective
        )
        made = (await services.meters.CreateMeterVersion(request)).version
    if as_json:
        print_json({"version": as_dict(made)})
    else:
        console.print(
            f"{code} measures by version {made.version} from {instant(made.effective_time)} on.", markup=False
        )


async def evaluate_expression(data: Path, expression: str, properties: Sequence[str], *, as_json: bool) -> None:
    sample = Event(properties=dict(_pair(each, "PROPERTY=VALUE") for each in properties))
    async with connected_to(data) as services:
        request = EvaluateExpressionRequest(expression=expression, event=sample)
        found = await services.meters.EvaluateExpression(request)
    if as_json:
        print_json(as_dict(found))
    else:
        console.print(found.value, markup=False)


async def _versions(services: Connection, code: str) -> list[MeterVersion]:
    return await pages(
        lambda token: services.meters.ListMeterVersions(ListMeterVersionsRequest(code=code, page_token=token)),
        "versions",
    )


def _changed(newest: MeterDefinition, words: MeterWords) -> MeterDefinition:
    made = MeterDefinition()
    made.CopyFrom(newest)
    if words.event_code is not None:
        made.event_code = words.event_code
    if words.value_property is not None:
        made.value_property = words.value_property
    if words.filters is not None:
        del made.filters[:]
        made.filters.extend(_filter(each) for each in words.filters if each)
    if words.expression is not None:
        made.expression = words.expression
    if words.rounding is not None:
        made.ClearField("rounding")
        if words.rounding:
            made.rounding.CopyFrom(_rounding(words.rounding))
    if words.dimensions is not None:
        made.dimensions[:] = [each for each in words.dimensions if each]
    return made


def _filter(typed: str) -> DimensionFilter:
    name, values = _pair(typed, "--filter")
    return DimensionFilter(property=name, values=values.split(","))


def _rounding(typed: str) -> Rounding:
    function, _, digits = typed.partition(":")
    try:
        return Rounding(function=Rounding.Function.Value(f"FUNCTION_{function.upper()}"), precision=int(digits or 0))
    except ValueError:
        raise WrongUsage(f"--rounding: {typed!r} is not round, ceil or floor, such as ceil:2") from None


def _pair(typed: str, what: str) -> tuple[str, str]:
    name, sign, value = typed.partition("=")
    if not (name and sign):
        raise WrongUsage(f"{what}: {typed!r} is not a name and a value such as model=large")
    return name, value


def _row(each: MeterVersion) -> tuple[str, ...]:
    it = each.definition
    rounding = state(Rounding.Function, it.rounding.function) + f":{it.rounding.precision}"
    return (
        str(each.version),
        instant(each.effective_time) if each.HasField("effective_time") else "the beginning",
        it.event_code,
        it.value_property or "-",
        "; ".join(f"{filter_.property}={','.join(filter_.values)}" for filter_ in it.filters) or "-",
        it.expression or "-",
        rounding if it.HasField("rounding") else "-",
        ", ".join(it.dimensions) or "-",
    )
