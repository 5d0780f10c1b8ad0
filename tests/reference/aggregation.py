"""Cases of one meter: it is made, events are sent, usage is asked, all of the real service.

A state that an engine of running totals would hold (`cached`) becomes events that lead to it. Values that are no
numbers are refused when they are sent, so they do not count, as the cases have it.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import uuid4

from libs.common.clock import system_clock
from libs.common.rpc.client import channel
from libs.common.wire import period_out, timestamp_out
from services.metering.main import Settings, running
from tests.reference.aggregation_events import Sent, Timeline, timeline_in
from tests.reference.cases import Case, Fields, Json, Unsupported, World
from tests.reference.comparison import differences
from weir.metering.v1 import metering_pb2
from weir.metering.v1.metering_pb2 import Meter, Rounding
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub

CODE, VALUE, SUBSCRIPTION = "reference", "value", "sub-1"
AGGREGATIONS = {
    "count_agg": Meter.AGGREGATION_COUNT,
    "sum_agg": Meter.AGGREGATION_SUM,
    "max_agg": Meter.AGGREGATION_MAX,
    "latest_agg": Meter.AGGREGATION_LATEST,
    "unique_count_agg": Meter.AGGREGATION_UNIQUE_COUNT,
    "weighted_sum_agg": Meter.AGGREGATION_WEIGHTED_SUM,
}
FUNCTIONS = {"round": Rounding.FUNCTION_ROUND, "ceil": Rounding.FUNCTION_CEIL, "floor": Rounding.FUNCTION_FLOOR}
IGNORED_VALUES = {"DECIMAL_MALFORMED", "PROPERTY_MISSING"}


async def run(case: Case, world: World) -> list[str]:
    return differences(case.expect, await observe(case, world))


async def observe(case: Case, world: World) -> Json:
    """What the service answers, in the words of the case's `expect`."""
    settings = Settings(world.database.dsns["metering"], world.keys.public_pem, "127.0.0.1:0")
    async with (
        running(settings, system_clock) as port,
        channel(f"127.0.0.1:{port}", world.keys.api_key()) as opened,
    ):
        return await _observe(case, MeteringServiceStub(opened))


async def _observe(case: Case, metering: "MeteringServiceAsyncStub") -> Json:
    given, when = Fields(case.given, "given"), Fields(case.when, "when")
    meter = _meter_in(given)
    group_keys = given.take("presentation_group_keys", given.take("pricing_group_keys", []))
    meter.dimensions.extend(group_keys)
    timeline = timeline_in(given, when, is_unique=meter.aggregation == Meter.AGGREGATION_UNIQUE_COUNT)
    free_amount, free_events = (when.take(f"free_units_per_{each}") for each in ("total_aggregation", "events"))
    given.close()
    when.close()
    await _make(metering, meter)
    for sent in timeline.events:
        await _send(metering, sent, group_keys)
    query = _query(timeline, meter)
    observed = _figures(await metering.GetUsage(query))
    observed["running_total"] = _running_total(observed.pop("values"), free_amount, free_events)
    if group_keys:
        observed["breakdown"] = await _breakdown(metering, query, group_keys)
    if timeline.charged is not None:
        observed["pay_in_advance_units"] = await _charged(metering, query, timeline.charged)
    if meter.aggregation == Meter.AGGREGATION_WEIGHTED_SUM:
        observed |= await _levels(metering, query)
    return observed


def _meter_in(given: Fields) -> Meter:
    """A case of rounding alone is one of a sum."""
    aggregation = given.take("aggregation_type", "sum_agg")
    if aggregation not in AGGREGATIONS:
        raise Unsupported(f"the aggregation {aggregation!r}")
    if (interval := given.take("weighted_interval", "seconds")) != "seconds":
        raise Unsupported(f"given.weighted_interval {interval!r}")
    if (model := given.take("charge_model")) not in (None, "dynamic"):
        raise Unsupported(f"given.charge_model {model!r}")
    given.take("field_name")
    meter = Meter(code=CODE, aggregation=AGGREGATIONS[aggregation], recurring=bool(given.take("recurring", False)))
    if meter.aggregation != Meter.AGGREGATION_COUNT:
        meter.value_property = VALUE
    function, precision = given.take("rounding_function"), given.take("rounding_precision")
    if function is not None:
        meter.rounding.function = FUNCTIONS[function]
        meter.rounding.precision = precision or 0
    return meter


async def _make(metering: "MeteringServiceAsyncStub", meter: Meter) -> None:
    await metering.CreateMeter(metering_pb2.CreateMeterRequest(request_id=str(uuid4()), meter=meter))


async def _send(metering: "MeteringServiceAsyncStub", sent: Sent, group_keys: list[str]) -> None:
    """One event a call: cases tell of an order in which they were recorded."""
    properties = {VALUE: sent.value, **sent.dimensions}
    if unknown := sorted(sent.dimensions.keys() - set(group_keys)):
        raise Unsupported(f"when.events.{unknown[0]}")
    if sent.operation_type is not None:
        properties["operation_type"] = sent.operation_type
    event = metering_pb2.Event(
        transaction_id=sent.transaction_id,
        subscription_id=SUBSCRIPTION,
        code=CODE,
        timestamp=timestamp_out(sent.at),
        properties=properties,
        amount=sent.amount,
    )
    answer = await metering.IngestEvents(metering_pb2.IngestEventsRequest(events=[event]))
    for failure in answer.failures:
        if failure.reason not in IGNORED_VALUES:
            raise Unsupported(f"the event {sent.value!r} at {sent.at}: {failure.message}")


def _query(timeline: Timeline, meter: Meter) -> metering_pb2.GetUsageRequest:
    return metering_pb2.GetUsageRequest(
        subscription_id=SUBSCRIPTION,
        meter_codes=[meter.code],
        period=period_out(timeline.start, timeline.end),
        full_period=period_out(timeline.full_start, timeline.full_end),
        time_zone=timeline.time_zone,
        prorated=timeline.prorated,
        charged_in_advance=timeline.is_charged_usage,
        first_events=1000,
    )


def _figures(answer: metering_pb2.GetUsageResponse) -> Json:
    [usage] = answer.usages
    return {
        "units": Decimal(usage.quantity),
        "current_usage_units": Decimal(usage.full_quantity or usage.quantity),
        "events_count": usage.event_count,
        "precise_total_amount_cents": Decimal(usage.amount or 0) * 100,
        "values": [Decimal(event.value) for event in usage.events],
    }


def _running_total(values: list[Decimal], free_amount: str | None, free_events: int | None) -> list[Decimal]:
    """The totals after each event until one of the allowances of a percentage charge is used up; none without any."""
    totals: list[Decimal] = []
    for value in values if free_amount or free_events else []:
        totals.append((totals[-1] if totals else Decimal(0)) + value)
        if (free_amount and totals[-1] > Decimal(free_amount)) or len(totals) == free_events:
            break
    return totals


async def _breakdown(
    metering: "MeteringServiceAsyncStub", query: metering_pb2.GetUsageRequest, group_keys: list[str]
) -> Mapping[str, Decimal]:
    if len(group_keys) != 1:
        raise Unsupported("given.presentation_group_keys with several keys")
    grouped = metering_pb2.GetUsageRequest()
    grouped.CopyFrom(query)
    grouped.group_by.extend(group_keys)
    answer = await metering.GetUsage(grouped)
    return {usage.group.get(group_keys[0], ""): Decimal(usage.quantity) for usage in answer.usages}


async def _charged(
    metering: "MeteringServiceAsyncStub", query: metering_pb2.GetUsageRequest, transaction_id: str
) -> Decimal:
    asked = metering_pb2.GetUsageRequest()
    asked.CopyFrom(query)
    asked.first_events = 0
    request = metering_pb2.GetEventUsageRequest(transaction_id=transaction_id, query=asked)
    [usage] = (await metering.GetEventUsage(request)).usages
    return Decimal(usage.prorated_units or usage.units)


async def _levels(metering: "MeteringServiceAsyncStub", query: metering_pb2.GetUsageRequest) -> Json:
    """By how much the level changed in the period, and where it stands: sums of the same events."""
    for code, recurring in (("variation", False), ("total_aggregated_units", True)):
        await _make(
            metering,
            Meter(
                code=code,
                event_code=CODE,
                aggregation=Meter.AGGREGATION_SUM,
                value_property=VALUE,
                recurring=recurring,
            ),
        )
    sums = metering_pb2.GetUsageRequest(subscription_id=SUBSCRIPTION, period=query.period)
    sums.meter_codes.extend(["variation", "total_aggregated_units"])
    return {usage.meter_code: Decimal(usage.quantity) for usage in (await metering.GetUsage(sums)).usages}
