"""A line's computation in sentences that a support agent can read aloud."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from libs.common.money import EXACT, Money, plain
from services.invoicing.domain.bill import Bill
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.line import Line, LineKind, Source
from services.invoicing.domain.period import Calendar, Period, zone_at
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.rating import PricedUnits, RatedTier, Rating, StepKind
from services.invoicing.domain.schedule import BillingInterval, Schedule

_NOUNS = {
    BillingInterval.WEEKLY: "week",
    BillingInterval.MONTHLY: "month",
    BillingInterval.QUARTERLY: "quarter",
    BillingInterval.SEMIANNUAL: "half-year",
    BillingInterval.YEARLY: "year",
}


def sentences(invoice: Invoice, position: int, rating: Rating | None, schedule: Schedule | None) -> list[str]:
    """Of the line at `position`, from 0; `rating` is that of a usage line, None for others; `schedule` is that of its
    subscription.
    """
    line = invoice.bill.lines[position]
    return [
        f"{line.description} is billed to customer {invoice.customer_id}{_for(line.source)}.",
        *((_period(line.period, schedule.tz),) if schedule else ()),
        *_computed(line, rating, invoice.bill.currency, schedule),
        _rounding(line.unrounded_amount, line.amount),
        *_discounts(position, invoice.bill),
        *_taxes(line, invoice.bill),
    ]


def _computed(line: Line, rating: Rating | None, currency: str, schedule: Schedule | None) -> Iterator[str]:
    if line.units is not None:
        yield from _units_of(line, rating, currency)
    elif rating and line.kind is LineKind.ADVANCE_USAGE and rating.full_quantity is not None:
        yield from _event_by_day(line, rating, currency)
    elif rating and line.kind is LineKind.ADVANCE_USAGE:
        yield from _event(line, rating)
        yield from _usage(line, rating, currency)
    elif rating and line.kind is LineKind.RENEWAL:
        yield from _renewed(line, rating, currency)
    elif rating and line.kind is LineKind.FIXED_CHARGE:
        yield from _fixed(rating, currency)
    elif rating:
        yield from _usage(line, rating, currency)
        if line.kind is LineKind.LATE_USAGE:
            yield from _late(line, rating)
        elif line.kind is LineKind.PROGRESSIVE_CREDIT:
            yield (
                f"{rating.amount} were billed for it when usage had passed a threshold of the plan. As much is taken"
                " off this invoice, but no more than it bills of the same usage."
            )
    elif line.proration and schedule:
        yield from _part(line, line.proration, _NOUNS[schedule.interval])


def _units_of(line: Line, rating: Rating | None, currency: str) -> Iterator[str]:
    assert line.units is not None, "it has units"
    if line.is_adjusted:
        yield f"Somebody adjusted the line to {_units(line.units)} before the invoice was finalized."
    if line.unit_amount is not None:
        yield f"{_units(line.units).capitalize()} at {plain(line.unit_amount)} each are billed."
    elif rating:
        _, *steps = _usage(line, rating, currency)
        yield from steps
    else:
        yield "The base fee of the days that are billed is taken so many times."


def _for(source: Source | None) -> str:
    if source is None:
        return ""
    return f" for subscription {source.subscription_id}, by version {source.plan_version} of plan {source.plan_code}"


def _period(period: Period, calendar: Calendar) -> str:
    tz = zone_at(period.end, calendar)
    return (
        f"The period runs from {_instant(period.start, tz)} to just before {_instant(period.end, tz)} ({tz.key} time)."
    )


def _part(line: Line, part: Proration, interval: str) -> Iterator[str]:
    if line.kind is LineKind.DEDUCTION:
        return _deduction(line, part)
    return _base_fee(part, interval) if line.kind is LineKind.BASE_FEE else _commitment(line, part, interval)


def _deduction(line: Line, part: Proration) -> Iterator[str]:
    assert line.deducts is not None, "a deduction is of a line"
    left = _exact(part.unrounded_amount, part.fee.currency)
    yield (
        f"Line {line.deducts.position + 1} of invoice {line.deducts.invoice_id} charged {part.fee} in advance for the"
        f" same add-on; {part.days} of its {part.period_days} days are left, which is {left}. As much is deducted, but"
        " no more than this invoice charges for it."
    )


def _commitment(line: Line, part: Proration, interval: str) -> Iterator[str]:
    currency = line.amount.currency
    spent = EXACT.subtract(part.unrounded_amount, line.unrounded_amount)
    yield (
        f"The plan commits to {part.fee} a {interval} at least; {part.days} of its {part.period_days} days count, for"
        f" which that is {_exact(part.unrounded_amount, currency)}."
    )
    apart = f", with the {line.counted_apart} that other invoices bill for them," if line.counted_apart else ""
    yield (
        f"The base fee of these days and what this invoice bills for them{apart} come to {_exact(spent, currency)}"
        f" before coupons and taxes: {_exact(line.unrounded_amount, currency)} are missing."
    )


def _base_fee(part: Proration, interval: str) -> Iterator[str]:
    if part.days == part.period_days:
        yield (
            f"The base fee of a whole {interval} is {part.fee}, and all {part.days} days of the {interval} are billed."
        )
    else:
        yield (
            f"The base fee of a whole {interval} is {part.fee}; {part.days} of the {interval}'s {part.period_days} days"
            f" are billed, so {part.fee.amount:,f} times {part.days} divided by {part.period_days}."
        )


def _usage(line: Line, rating: Rating, currency: str) -> Iterator[str]:
    if rating.charge_model in ("minimum", "maximum"):
        yield from (_limit(tier, rating.charge_model, currency) for tier in rating.tiers)
        return
    measured = rating.full_quantity if rating.full_quantity is not None else rating.quantity
    yield (
        f"In that period meter {rating.meter_code} measured {_units(measured)}{_which(rating)}, counting the"
        f" events that were recorded up to position {line.watermark} of the log."
    )
    if rating.full_quantity is not None:
        yield f"For the days on which they were there, that is {_units(rating.quantity)}."
    if rating.quantity_before is not None and line.kind is not LineKind.ADVANCE_USAGE:
        yield f"Tiers go on over the contract, in which {_units(rating.quantity_before)} were used before."
    if not rating.tiers:
        yield "Corrections outweigh usage, which costs nothing."
    unit = rating.pricing_unit.code if rating.pricing_unit else currency
    for tier in rating.tiers:
        yield _tier(tier, rating.charge_model, unit, len(rating.tiers))
    if rating.pricing_unit is not None:
        yield _converted(rating.pricing_unit, rating.unrounded_amount, currency)
    elif len(rating.tiers) > 1:
        yield f"Together that is {_exact(rating.unrounded_amount, currency)}."


def _late(line: Line, rating: Rating) -> Iterator[str]:
    yield (
        f"{rating.amount - line.amount} were billed for it before, by the events recorded up to position"
        f" {line.prior_watermark}; this line is the difference."
    )


def _event(line: Line, rating: Rating) -> Iterator[str]:
    yield (
        f"Event {line.transaction_id} was charged when it was recorded: it brought usage from"
        f" {_units(rating.quantity_before or Decimal(0))} to {_units(rating.quantity)}. What follows is the price of"
        " all usage with it; the line is that less the price of all usage without it."
    )


def _event_by_day(line: Line, rating: Rating, currency: str) -> Iterator[str]:
    added, before = rating.full_quantity or Decimal(0), rating.quantity_before or Decimal(0)
    yield (
        f"Event {line.transaction_id} was charged when it was recorded: it added {_units(added)} to the"
        f" {_count(before)} that the period had added before."
    )
    yield f"For the days that are left of the period, that is {_units(rating.quantity)}."
    yield from (_tier(tier, rating.charge_model, currency, len(rating.tiers)) for tier in rating.tiers)


def _renewed(line: Line, rating: Rating, currency: str) -> Iterator[str]:
    yield (
        f"When the period began, meter {rating.meter_code} had {_units(rating.quantity)}{_which(rating)}, counting the"
        f" events that were recorded up to position {line.watermark} of the log. They are charged for all of it."
    )
    yield from (_tier(tier, rating.charge_model, currency, len(rating.tiers)) for tier in rating.tiers)


def _fixed(rating: Rating, currency: str) -> Iterator[str]:
    held = rating.quantity if rating.full_quantity is None else rating.full_quantity
    if rating.quantity_before is None:
        yield f"{_units(held)} are billed."
    else:
        billed = _units(rating.quantity_before)
        yield f"The period was billed for {billed} before; {_units(held)} more are billed."
    if rating.full_quantity is not None:
        yield f"For the days on which they are held, that is {_units(rating.quantity)}."
    for tier in rating.tiers:
        yield _tier(tier, rating.charge_model, currency, len(rating.tiers))
    if len(rating.tiers) > 1:
        yield f"Together that is {_exact(rating.unrounded_amount, currency)}."


def _converted(priced: PricedUnits, amount: Decimal, currency: str) -> str:
    rate = _exact(priced.conversion_rate, currency)
    return f"Together that is {_exact(priced.amount, priced.code)} at {rate} each: {_exact(amount, currency)}."


def _which(rating: Rating) -> str:
    """Of a meter's usage, that of a filter of the charge, and that of a group."""
    part = f" that filter {rating.part} of the charge admits" if rating.part else ""
    group = " and ".join(f"{name} {value}" for name, value in rating.group)
    return part + (f" with {group}" if group else "") + _when(rating.window)


def _when(window: str | None) -> str:
    if window is None:
        return ""
    return f" in the hours of {window}" if window else " in the hours that have no price of their own"


def _limit(tier: RatedTier, charge_model: str, currency: str) -> str:
    spent, limit = _exact(tier.above, currency), _exact(tier.up_to or Decimal(0), currency)
    if charge_model == "minimum":
        return (
            f"The charge came to {spent}, and its minimum for these days is {limit}: {_exact(tier.amount, currency)}."
        )
    return f"The charge came to {spent}, and its maximum is {limit}: {_exact(tier.amount, currency)}."


def _tier(tier: RatedTier, charge_model: str, currency: str, tier_count: int) -> str:
    price, amount = _exact(tier.unit_price, currency), _exact(tier.amount, currency)
    flat = f" and a flat fee of {_exact(tier.flat_fee, currency)}" if tier.flat_fee else ""
    match tier.kind:
        case StepKind.PACKAGES:
            return _packages(tier, price, amount)
        case StepKind.TRANSACTIONS:
            free = f" after {_count(tier.free_units)} free ones" if tier.free_units else ""
            return f"{_count(tier.quantity)} transactions{free} at {price} each: {amount}."
        case StepKind.EVENT_AMOUNTS:
            return f"The events say what they cost, together {amount}."
        case StepKind.LIMIT:
            return f"What each transaction costs at least and at most changes that by {amount}."
    if tier.rate_percent is not None:
        price = f"{_count(tier.rate_percent)} %"
        free = f" after {_units(tier.free_units)} that cost nothing" if tier.free_units else ""
        if tier_count == 1 or charge_model == "percentage":
            return f"{price} of {_units(tier.quantity)}{free}{flat}: {amount}."
        return f"{price} of the {_place(tier)}{flat}: {amount}."
    if tier_count == 1:
        return f"{_units(tier.quantity)} at {price} each{flat}: {amount}."
    return f"The {_place(tier)} at {price} each{flat}: {amount}."


def _packages(tier: RatedTier, price: str, amount: str) -> str:
    free = f"The first {_units(tier.free_units)} cost nothing; the rest makes" if tier.free_units else "That makes"
    packages = "1 package" if tier.quantity == 1 else f"{_count(tier.quantity)} packages"
    return f"{free} {packages}, a package begun counting as a whole one, at {price} each: {amount}."


def _place(tier: RatedTier) -> str:
    until = f", up to {_count(tier.up_to)}," if tier.above and tier.up_to is not None else ""
    return f"{'next' if tier.above else 'first'} {_units(tier.quantity)}{until}"


def _rounding(unrounded: Decimal, amount: Money) -> str:
    if unrounded == amount.amount:
        return f"The line is {amount}; nothing had to be rounded."
    return (
        f"{_exact(unrounded, amount.currency)} is rounded once, to the nearest amount that {amount.currency} has and"
        f" halves away from zero: the line is {amount}."
    )


def _discounts(position: int, bill: Bill) -> Iterator[str]:
    for each in bill.discounts:
        if (share := each.shares.get(position)) is not None:
            yield (
                f"Coupon {each.terms.name} takes {each.amount} off {_exact(each.base, bill.currency)} of lines it"
                f" applies to, of which this is one: {_exact(share, bill.currency)} in proportion."
            )


def _taxes(line: Line, bill: Bill) -> Iterator[str]:
    if not line.tax_codes:
        yield "No tax applies to it."
    less = " less what coupons take off them" if bill.discounts else ""
    for tax in bill.taxes:
        if tax.code not in line.tax_codes or tax.is_included is not line.is_tax_inclusive:
            continue
        amount = f"{_exact(tax.unrounded_amount, tax.amount.currency)}, rounded to {tax.amount}"
        if tax.is_included:
            yield (
                f"{tax.name} of {plain(tax.rate_percent)} % is contained in the lines it applies to{less}, of which"
                f" this is one: together they are {tax.taxable} without their taxes, and it is {amount}."
            )
        else:
            yield (
                f"{tax.name} of {plain(tax.rate_percent)} % is computed once for the invoice, on the {tax.taxable} of"
                f" lines it applies to{less}, of which this is one: {amount}."
            )


def _instant(instant: datetime, tz: ZoneInfo) -> str:
    local = instant.astimezone(tz)
    return f"{local.day} {local:%B %Y}, {local:%H:%M:%S}".removesuffix(":00")


def _count(quantity: Decimal) -> str:
    """With thousands separated: 1,234.5."""
    whole, point, fraction = plain(quantity).partition(".")
    return f"{int(whole):,}{point}{fraction}" if abs(quantity) >= 1 else plain(quantity)


def _units(quantity: Decimal) -> str:
    return "1 unit" if quantity == 1 else f"{_count(quantity)} units"


def _exact(amount: Decimal, currency: str) -> str:
    return f"{_count(amount)} {currency}"
