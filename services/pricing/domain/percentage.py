"""The percentage charge model: a share of what transactions are worth, and a fixed amount for each.

A transaction is an event, and its units what it is worth.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import ClassVar

from libs.common.errors import InvalidArgument
from services.pricing.domain.breakdown import EXACT, ZERO, RatedTier, StepKind, hundredth, once
from services.pricing.domain.usage import EventValue, Usage, running_totals


@dataclass(frozen=True, slots=True)
class PercentagePrice:
    """`rate_percent` hundredths of a major unit for each unit, and for each transaction `fixed_per_transaction`.

    The first `free_transactions`, and those that together are worth no more than `free_amount`, cost nothing; an
    allowance of 0 is none. What a transaction costs lies between `minimum_per_transaction` and
    `maximum_per_transaction`, in major units, where these are not None.
    """

    model: ClassVar[str] = "percentage"

    rate_percent: Decimal
    fixed_per_transaction: Decimal = ZERO
    free_transactions: int = 0
    free_amount: Decimal = ZERO
    minimum_per_transaction: Decimal | None = None
    maximum_per_transaction: Decimal | None = None

    @property
    def has_allowance(self) -> bool:
        return bool(self.free_transactions or self.free_amount)

    @property
    def prices_each_transaction(self) -> bool:
        return self.minimum_per_transaction is not None or self.maximum_per_transaction is not None


def rate_percentage(price: PercentagePrice, usage: Usage) -> tuple[RatedTier, ...]:
    """A step for the units, one for the transactions if they have a price or some are free, and one for what minimum
    and maximum per transaction change.

    Raises InvalidArgument EVENT_COUNT_MISSING, EVENTS_MISSING or EVENTS_INCOMPLETE where `usage` does not tell enough.
    """
    if price.prices_each_transaction:
        return _rate_each(price, usage)
    return _rate_together(price, usage)


def _rate_together(price: PercentagePrice, usage: Usage) -> tuple[RatedTier, ...]:
    free_units, free_transactions = ZERO, 0
    if price.has_allowance:
        if usage.quantity and not usage.events:
            raise _missing("EVENTS_MISSING", usage, "the values of the first events, which its allowance is for")
        free_units, free_transactions = _free_units(price, usage.events), _free_transactions(price, usage.events)
    units = _units_step(price, max(EXACT.subtract(usage.quantity, free_units), ZERO), free_units)
    if not (price.fixed_per_transaction or price.has_allowance):
        return (units,)
    count = len(usage.events) if usage.event_count is None else usage.event_count
    if usage.event_count is None and not usage.events and usage.quantity and price.fixed_per_transaction:
        raise _missing("EVENT_COUNT_MISSING", usage, "event_count, since every transaction has a price")
    paid = max(count - free_transactions, 0) if usage.quantity else 0
    return units, _transactions_step(price, paid, free_transactions)


def _free_units(price: PercentagePrice, events: tuple[EventValue, ...]) -> Decimal:
    """What the free transactions are worth, as far as the free amount goes."""
    within = islice(events, price.free_transactions) if price.free_transactions else events
    worth = ZERO
    for worth in running_totals(within):  # noqa: B007 the last one
        pass
    return min(worth, price.free_amount) if price.free_amount else worth


def _free_transactions(price: PercentagePrice, events: tuple[EventValue, ...]) -> int:
    """The free transactions, or those after which some of the free amount is left, whichever are fewer.

    An allowance that comes to 0 transactions is left out, also if the first transaction used it up.
    """
    within_amount = sum(worth < price.free_amount for worth in running_totals(events)) if price.free_amount else 0
    return min((count for count in (price.free_transactions, within_amount) if count), default=0)


def _rate_each(price: PercentagePrice, usage: Usage) -> tuple[RatedTier, ...]:
    if usage.quantity and not usage.events:
        raise _missing("EVENTS_MISSING", usage, "the value of every event, since each is priced by itself")
    if usage.event_count is not None and usage.event_count != len(usage.events):
        raise _missing("EVENTS_INCOMPLETE", usage, f"all {usage.event_count} events, and got {len(usage.events)}")
    rate = hundredth(price.rate_percent)
    worth = limited = ZERO
    charged = 0
    for value in _charged_values(price, usage.events):
        charged += 1
        worth = EXACT.add(worth, value)
        amount = EXACT.add(EXACT.multiply(value, rate), price.fixed_per_transaction)
        limited = EXACT.add(limited, EXACT.subtract(_within_limits(price, amount), amount))
    free_units = EXACT.subtract(_worth(usage.events), worth)
    return (
        _units_step(price, worth, free_units),
        _transactions_step(price, charged, len(usage.events) - charged),
        once(limited, StepKind.LIMIT),
    )


def _charged_values(price: PercentagePrice, events: tuple[EventValue, ...]) -> Iterator[Decimal]:
    """What is charged of each event after the allowances, which both end with the first of them. Of an event that the
    free amount covers in part, the rest is charged.
    """
    left = price.free_amount
    is_free = price.has_allowance
    for index, event in enumerate(events):
        if is_free and price.free_transactions and index >= price.free_transactions:
            is_free, left = False, ZERO
        if is_free and (event.value <= left or not price.free_amount):
            left = EXACT.subtract(left, event.value)
            continue
        yield EXACT.subtract(event.value, left) if is_free else event.value
        is_free = False


def _within_limits(price: PercentagePrice, amount: Decimal) -> Decimal:
    if price.minimum_per_transaction is not None:
        amount = max(amount, price.minimum_per_transaction)
    if price.maximum_per_transaction is not None:
        amount = min(amount, price.maximum_per_transaction)
    return amount


def _worth(events: tuple[EventValue, ...]) -> Decimal:
    worth = ZERO
    for event in events:
        worth = EXACT.add(worth, event.value)
    return worth


def _units_step(price: PercentagePrice, units: Decimal, free_units: Decimal) -> RatedTier:
    rate = hundredth(price.rate_percent)
    amount = EXACT.multiply(units, rate)
    return RatedTier(ZERO, None, units, rate, amount, free_units=free_units, rate_percent=price.rate_percent)


def _transactions_step(price: PercentagePrice, charged: int, free: int) -> RatedTier:
    count, fixed = Decimal(charged), price.fixed_per_transaction
    amount = EXACT.multiply(count, fixed)
    return RatedTier(ZERO, None, count, fixed, amount, free_units=Decimal(free), kind=StepKind.TRANSACTIONS)


def _missing(reason: str, usage: Usage, needed: str) -> InvalidArgument:
    return InvalidArgument(
        reason,
        f"charge {usage.charge_code} needs {needed}",
        field="quantities",
        charge_code=usage.charge_code,
    )
