"""Plan versions and taxes, as pricing has them."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import TypeAlias

from libs.common.errors import FailedPrecondition
from libs.common.money import Money
from services.invoicing.convert.ramps import in_phase
from services.invoicing.domain.hours import Hours, TimeWindow
from services.invoicing.domain.plan import Charge, Commitment, FixedCharge, PlanVersion, Ramp, Split, UsagePart
from services.invoicing.domain.schedule import BillingInterval
from services.invoicing.domain.tax import Tax, Taxes
from weir.pricing.v1 import pricing_pb2

Priced: TypeAlias = pricing_pb2.Charge | pricing_pb2.ChargeFilter

MAX_FIRST_EVENTS = 100_000
"""As many single events does metering answer with."""


def latest_version_in(message: pricing_pb2.Plan) -> PlanVersion:
    """What a new subscription gets. Raises FailedPrecondition PLAN_NOT_ACTIVE."""
    if not message.HasField("latest_version"):
        raise FailedPrecondition(
            "PLAN_NOT_ACTIVE",
            f"no version of plan {message.code} is active: there are only drafts or archived ones",
            plan_code=message.code,
        )
    return plan_version_in(message.latest_version)


def sold_version_in(message: pricing_pb2.PlanVersion, subscription_id: str) -> PlanVersion:
    """What a subscription may change to. Raises PLAN_NOT_ACTIVE."""
    if message.state != message.STATE_ACTIVE or message.subscription_id not in ("", subscription_id):
        raise FailedPrecondition(
            "PLAN_NOT_ACTIVE",
            f"version {message.version} of plan {message.plan_code} is not sold to subscription {subscription_id}",
            plan_code=message.plan_code,
        )
    return plan_version_in(message)


def plan_version_in(message: pricing_pb2.PlanVersion) -> PlanVersion:
    """As pricing sent it, who has validated it."""
    fee, interval = message.base_fee, BillingInterval(_interval_name(message))
    return PlanVersion(
        plan_code=message.plan_code,
        version=message.version,
        currency=message.currency_code,
        billing_interval=BillingInterval.MONTHLY if message.charges_monthly else interval,
        base_fee=Money(fee.minor_units, fee.currency_code) if message.HasField("base_fee") else None,
        in_advance=message.base_fee_in_advance,
        charges=tuple(map(_charge_in, message.charges)),
        tax_codes=tuple(message.tax_codes),
        trial=timedelta(days=message.trial_days),
        is_tax_inclusive=message.tax_inclusive,
        commitment=_commitment_in(message.minimum_commitment) if message.HasField("minimum_commitment") else None,
        ramps=tuple(
            Ramp(each.from_month, each.to_month or None, plan_version_in(in_phase(message, each)))
            for each in message.phases
        ),
        fixed_charges=tuple(map(_fixed_charge_in, message.fixed_charges)),
        has_thresholds=bool(message.usage_thresholds),
        fee_interval=interval if message.charges_monthly else None,
    )


def _commitment_in(message: pricing_pb2.MinimumCommitment) -> Commitment:
    amount = Money(message.amount.minor_units, message.amount.currency_code)
    return Commitment(amount, message.name, tuple(message.tax_codes))


def _interval_name(message: pricing_pb2.PlanVersion) -> str:
    name = pricing_pb2.PlanVersion.BillingInterval.Name(message.billing_interval)
    return name.removeprefix("BILLING_INTERVAL_").lower()


def _charge_in(message: pricing_pb2.Charge) -> Charge:
    prices = [each for each, _ in _parts(message)]
    return Charge(
        code=message.code,
        meter_code=message.meter_code,
        split=Split(
            parts=tuple(_part_in(each) for each in message.filters),
            group_keys=tuple(message.group_keys),
            first_events=max(_first_events(each, message.prorated) for each in prices),
            prorated=message.prorated,
            accumulates=message.accumulation == message.ACCUMULATION_CONTRACT,
            hours=tuple(_hours_in(each, part) for each, part in _parts(message) if each.HasField("time_of_day")),
        ),
        takes_amounts=any(each.WhichOneof("price") == "dynamic" for each in prices),
        tax_codes=tuple(message.tax_codes),
        in_advance=message.in_advance,
        is_invoiceable=not message.HasField("invoiceable") or message.invoiceable,
        is_regrouped=message.regroup_paid_fees,
        is_linear=all(each.WhichOneof("price") == "standard" for each in prices),
    )


def _fixed_charge_in(message: pricing_pb2.FixedCharge) -> FixedCharge:
    return FixedCharge(
        code=message.code,
        name=message.name,
        add_on_code=message.add_on_code,
        units=Decimal(message.units),
        in_advance=message.in_advance,
        prorated=message.prorated,
        tax_codes=tuple(message.tax_codes),
    )


def _part_in(message: pricing_pb2.ChargeFilter) -> UsagePart:
    return UsagePart(message.code, tuple((each.property, tuple(each.values)) for each in message.properties))


def _parts(message: pricing_pb2.Charge) -> Iterator[tuple[Priced, str]]:
    """Each price of the charge, and the code of its filter, "" for the charge's own."""
    yield message, ""
    for each in message.filters:
        yield each, each.code


def _hours_in(message: Priced, part: str) -> Hours:
    price = message.time_of_day
    windows = (TimeWindow(it.code, tuple(it.weekdays), it.start_hour, it.end_hour) for it in price.windows)
    return Hours(part, price.time_zone, tuple(windows))


def _first_events(message: Priced, prorated: bool) -> int:
    """How many single events the price is a matter of: a percentage has allowances and limits for each of them, and
    units that are prorated are walked through the tiers of a graduated price.
    """
    if prorated and message.WhichOneof("price") == "graduated":
        return MAX_FIRST_EVENTS
    if message.WhichOneof("price") != "percentage":
        return 0
    price = message.percentage
    for limit in (price.free_amount, price.minimum_per_transaction, price.maximum_per_transaction):
        if limit and Decimal(limit):
            return MAX_FIRST_EVENTS
    return min(price.free_transactions, MAX_FIRST_EVENTS)


def taxes_in(messages: Iterable[pricing_pb2.Tax], defaults: Iterable[pricing_pb2.Tax]) -> Taxes:
    """As pricing sent them, and the tenant's defaults."""
    default_codes = tuple(each.code for each in defaults)
    return Taxes(
        {each.code: Tax(each.code, each.name, Decimal(each.rate_percent)) for each in (*messages, *defaults)},
        default_codes,
    )
