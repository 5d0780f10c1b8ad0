"""Plan versions on the wire."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.paging import Page, page_in
from libs.common.wire import currency_in, money_out, timestamp_out
from services.pricing.convert.charges import charge_in, charge_out
from services.pricing.convert.collected import read_all, read_fields, require_unique
from services.pricing.convert.commitments import (
    fixed_charge_out,
    fixed_charges_in,
    minimum_in,
    minimum_out,
    threshold_out,
    thresholds_in,
)
from services.pricing.convert.described import charged_in, tax_codes_in
from services.pricing.convert.features import entitlement_out, entitlements_in
from services.pricing.convert.phases import phase_out, phases_in, require_applicable
from services.pricing.domain.plans import BillingInterval, Charge, PlanVersion
from services.pricing.domain.states import VersionState
from weir.pricing.v1 import pricing_pb2

MAX_TRIAL_DAYS = 3650
_MAX_VERSION = 2**31 - 1

_INTERVALS = {
    pricing_pb2.PlanVersion.BILLING_INTERVAL_WEEKLY: BillingInterval.WEEKLY,
    pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY: BillingInterval.MONTHLY,
    pricing_pb2.PlanVersion.BILLING_INTERVAL_QUARTERLY: BillingInterval.QUARTERLY,
    pricing_pb2.PlanVersion.BILLING_INTERVAL_SEMIANNUAL: BillingInterval.SEMIANNUAL,
    pricing_pb2.PlanVersion.BILLING_INTERVAL_YEARLY: BillingInterval.YEARLY,
}
_INTERVALS_OUT = {interval: number for number, interval in _INTERVALS.items()}
_STATES_OUT = {
    VersionState.DRAFT: pricing_pb2.PlanVersion.STATE_DRAFT,
    VersionState.ACTIVE: pricing_pb2.PlanVersion.STATE_ACTIVE,
    VersionState.ARCHIVED: pricing_pb2.PlanVersion.STATE_ARCHIVED,
}

Contents: TypeAlias = tuple[pricing_pb2.PlanVersion, str]
"""A version on the wire, and the currency that everything in it is in."""


def version_in(message: pricing_pb2.PlanVersion, plan_code: str, version: int, create_time: datetime) -> PlanVersion:
    """`message` is the field `version` of its request."""
    currency = currency_in(message.currency_code, "version.currency_code")
    fields = read_fields((message, currency), _FIELDS, _FIELDS)
    read = PlanVersion(plan_code=plan_code, version=version, currency=currency, create_time=create_time, **fields)
    charges = [charge.code for charge in read.charges]
    require_unique("CHARGE_CODE_DUPLICATE", charges, "version.charges[{}].code")
    for index, fixed in enumerate(read.fixed_charges):
        if fixed.code in charges:
            path = f"version.fixed_charges[{index}].code"
            raise InvalidArgument("CHARGE_CODE_DUPLICATE", f"{path} is {fixed.code!r}, a charge's", field=path)
    require_applicable(read.charges, read.phases, "version.phases")
    _require_divisible(read)
    return read


def version_out(version: PlanVersion, state: VersionState) -> pricing_pb2.PlanVersion:
    return pricing_pb2.PlanVersion(
        plan_code=version.plan_code,
        version=version.version,
        currency_code=version.currency,
        billing_interval=_INTERVALS_OUT[version.billing_interval],
        base_fee=None if version.base_fee is None else money_out(version.base_fee),
        base_fee_in_advance=version.base_fee_in_advance,
        tax_inclusive=version.tax_inclusive,
        charges=[charge_out(charge) for charge in version.charges],
        fixed_charges=[fixed_charge_out(charge) for charge in version.fixed_charges],
        minimum_commitment=minimum_out(version.minimum_commitment),
        usage_thresholds=[threshold_out(each) for each in version.usage_thresholds],
        trial_days=version.trial_days,
        entitlements=[entitlement_out(each) for each in version.entitlements],
        phases=[phase_out(each) for each in version.phases],
        tax_codes=version.tax_codes,
        create_time=timestamp_out(version.create_time),
        state=_STATES_OUT[state],
        subscription_id=version.subscription_id,
        base_version=version.base_version,
        charges_monthly=version.charges_monthly,
    )


def _require_divisible(version: PlanVersion) -> None:
    if not version.charges_monthly:
        return
    if version.billing_interval in (BillingInterval.WEEKLY, BillingInterval.MONTHLY):
        raise InvalidArgument(
            "CHARGES_NOT_DIVISIBLE",
            f"version.charges_monthly is for intervals longer than a month, not a {version.billing_interval} one",
            field="version.charges_monthly",
        )
    require_no_minimum(version, "version.minimum_commitment")


def require_no_minimum(version: PlanVersion, field: str) -> None:
    """Of a version with `charges_monthly`: no invoice has all that a minimum is compared to."""
    if version.charges_monthly and version.minimum_commitment is not None:
        raise InvalidArgument(
            "MINIMUM_WITH_CHARGES_MONTHLY",
            f"{field} is of an interval, while charges are billed by the month",
            field=field,
        )


def made_state(as_draft: bool) -> VersionState:
    """The state that a version is made in."""
    return VersionState.DRAFT if as_draft else VersionState.ACTIVE


def version_number_in(value: int, field: str) -> int:
    if value < 1:
        raise InvalidArgument(
            "VERSION_NOT_POSITIVE", f"{field} is {value}; a plan's versions are 1, 2, 3, …", field=field
        )
    return value


def versions_page_in(page_size: int, page_token: str) -> tuple[Page, int | None]:
    """A page of versions, newest first, and the version that it comes after."""
    page = page_in(page_size, page_token)
    if page.after is None:
        return page, None
    if not (page.after.isascii() and page.after.isdecimal() and len(page.after) <= len(str(_MAX_VERSION))):
        raise InvalidArgument("PAGE_TOKEN_INVALID", "page_token is of another list", field="page_token")
    return page, min(int(page.after), _MAX_VERSION)


def trial_days_in(days: int, field: str) -> int:
    if not 0 <= days <= MAX_TRIAL_DAYS:
        raise InvalidArgument(
            "TRIAL_OUT_OF_RANGE", f"{field} is {days}; a trial is 0 to {MAX_TRIAL_DAYS} days", field=field
        )
    return days


def _charges_in(messages: Sequence[pricing_pb2.Charge], field: str) -> tuple[Charge, ...]:
    return read_all(partial(charge_in, each, f"{field}[{index}]") for index, each in enumerate(messages))


def _base_fee_in(contents: Contents) -> Money | None:
    message, currency = contents
    return charged_in(message.base_fee, True, "version.base_fee", currency) if message.HasField("base_fee") else None


def interval_in(value: pricing_pb2.PlanVersion.BillingInterval.ValueType, field: str) -> BillingInterval:
    if not value:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    if value not in _INTERVALS:
        raise InvalidArgument("BILLING_INTERVAL_UNKNOWN", f"{field} is {value}, which means nothing", field=field)
    return _INTERVALS[value]


_FIELDS: dict[str, Callable[[Contents], Any]] = {
    "billing_interval": lambda each: interval_in(each[0].billing_interval, "version.billing_interval"),
    "base_fee": _base_fee_in,
    "base_fee_in_advance": lambda each: each[0].base_fee_in_advance,
    "tax_inclusive": lambda each: each[0].tax_inclusive,
    "charges": lambda each: _charges_in(each[0].charges, "version.charges"),
    "fixed_charges": lambda each: fixed_charges_in(each[0].fixed_charges, "version.fixed_charges"),
    "minimum_commitment": lambda each: minimum_in(*each, "version.minimum_commitment"),
    "usage_thresholds": lambda each: thresholds_in(each[0].usage_thresholds, each[1], "version.usage_thresholds"),
    "trial_days": lambda each: trial_days_in(each[0].trial_days, "version.trial_days"),
    "entitlements": lambda each: entitlements_in(each[0].entitlements, "version.entitlements"),
    "phases": lambda each: phases_in(each[0].phases, each[1], "version.phases"),
    "charges_monthly": lambda each: each[0].charges_monthly,
    "tax_codes": lambda each: tax_codes_in(each[0].tax_codes, "version.tax_codes"),
}
"""How each field of a PlanVersion is read."""
