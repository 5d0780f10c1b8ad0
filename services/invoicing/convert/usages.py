"""Usage as metering is asked for it, and what it measured as pricing is to rate it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

from libs.common.money import EXACT, plain
from libs.common.wire import period_out
from services.invoicing.domain.hours import stretches
from services.invoicing.domain.period import Period
from services.invoicing.domain.plan import Charge, Split, UsagePart
from services.invoicing.domain.question import UsageQuestion
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import pricing_pb2

Cell: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...]]
"""(meter, part, group)."""


def usage_queries(question: UsageQuestion) -> Iterator[metering_pb2.GetUsageRequest]:
    """One for each way in which usage is to be told, and more where that is by the hour or of the contract before."""
    for split, charges in question.splits.items():
        for period, _ in _asked(question, split):
            yield _query(question, split, charges, period)
        if split.accumulates and question.before is not None:
            yield _query(question, split, charges, question.before)


def quantities_in(
    question: UsageQuestion, answers: Iterator[metering_pb2.GetUsageResponse]
) -> Iterator[pricing_pb2.ChargeQuantity]:
    """By charge; takes the answers to `usage_queries`."""
    for split, charges in question.splits.items():
        told = [(windows, next(answers).usages) for _, windows in _asked(question, split)]
        before = _totals(next(answers).usages if split.accumulates and question.before is not None else ())
        for charge in charges:
            found = [
                (windows, usage)
                for windows, usages in told
                for usage in usages
                if usage.meter_code == charge.meter_code
            ]
            if split.hours:
                yield from _by_window(charge, found)
            else:
                yield from (_quantity_out(charge, usage, before) for _, usage in found)


def _asked(question: UsageQuestion, split: Split) -> Sequence[tuple[Period, Mapping[str, str]]]:
    """The stretches that are asked for, each with the window of every price by time of day, by part.

    Of units that are held day by day, the day on which a phase ends is the next one's.
    """
    if split.prorated:
        return [(question.owned, {})] if question.owned else []
    if split.hours:
        return stretches(split.hours, question.period)
    return [(question.period, {})]


def _query(
    question: UsageQuestion, split: Split, charges: Sequence[Charge], period: Period
) -> metering_pb2.GetUsageRequest:
    """A first period that is not whole is told so: a weighted sum is averaged over all of it."""
    whole = question.full_period
    is_part = split.prorated or (period == question.period and whole != period)
    return metering_pb2.GetUsageRequest(
        subscription_id=question.subscription_id,
        meter_codes=dict.fromkeys(charge.meter_code for charge in charges),
        period=period_out(period.start, period.end),
        full_period=period_out(whole.start, whole.end) if is_part else None,
        time_zone=question.time_zone if is_part else "",
        parts=[part_out(part) for part in split.parts],
        group_by=split.group_keys,
        first_events=split.first_events,
        prorated=split.prorated,
    )


def part_out(part: UsagePart) -> metering_pb2.UsagePart:
    filters = [metering_pb2.DimensionFilter(property=name, values=values) for name, values in part.filters]
    return metering_pb2.UsagePart(code=part.code, filters=filters)


def _quantity_out(charge: Charge, usage: metering_pb2.Usage, before: Mapping[Cell, str]) -> pricing_pb2.ChargeQuantity:
    events = [
        pricing_pb2.EventValue(value=each.value, prorated_value=each.prorated_value, amount=each.amount)
        for each in usage.events
    ]
    if charge.takes_amounts and not events and usage.amount:
        events = [pricing_pb2.EventValue(amount=usage.amount)]
    return pricing_pb2.ChargeQuantity(
        charge_code=charge.code,
        quantity=usage.quantity,
        filter=usage.part,
        group=usage.group,
        full_quantity=usage.full_quantity,
        event_count=usage.event_count,
        events=events,
        quantity_before=before.get(_cell(usage), "0") if charge.split.accumulates else "",
    )


def _by_window(
    charge: Charge, told: Iterable[tuple[Mapping[str, str], metering_pb2.Usage]]
) -> Iterator[pricing_pb2.ChargeQuantity]:
    """Stretches added up by window; of a part whose price has none, all of them."""
    sums: dict[tuple[Cell, str | None], pricing_pb2.ChargeQuantity] = {}
    for windows, usage in told:
        window, more = windows.get(usage.part), _quantity_out(charge, usage, {})
        key = _cell(usage), window
        if (found := sums.get(key)) is None:
            more.window = window or ""
            if window is None:
                more.ClearField("window")
            sums[key] = more
        else:
            found.quantity = plain(EXACT.add(Decimal(found.quantity), Decimal(more.quantity)))
            found.event_count += more.event_count
            found.events.extend(more.events)
    yield from sums.values()


def _totals(usages: Iterable[metering_pb2.Usage]) -> Mapping[Cell, str]:
    return {_cell(usage): usage.quantity for usage in usages}


def _cell(usage: metering_pb2.Usage) -> Cell:
    return usage.meter_code, usage.part, tuple(sorted(usage.group.items()))
