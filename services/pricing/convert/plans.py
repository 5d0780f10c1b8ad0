"""Plans and their versions on the wire."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.paging import Page, page_in
from libs.common.wire import code_in, currency_in, money_in, money_out, text_in, timestamp_out
from services.pricing.convert.charges import charge_in, charge_out
from services.pricing.convert.collected import mask_in, read_all, require_unique
from services.pricing.domain.plans import BillingInterval, Plan, PlanVersion
from services.pricing.domain.states import VersionState
from weir.pricing.v1 import pricing_pb2

_DESCRIPTION_CHARACTERS = 1000
_MAX_VERSION = 2**31 - 1

_INTERVALS = {pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY: BillingInterval.MONTHLY}
_INTERVALS_OUT = {interval: number for number, interval in _INTERVALS.items()}
_STATES_OUT = {
    VersionState.DRAFT: pricing_pb2.PlanVersion.STATE_DRAFT,
    VersionState.ACTIVE: pricing_pb2.PlanVersion.STATE_ACTIVE,
    VersionState.ARCHIVED: pricing_pb2.PlanVersion.STATE_ARCHIVED,
}


def plan_in(
    message: pricing_pb2.Plan, version: pricing_pb2.PlanVersion, as_draft: bool, create_time: datetime
) -> tuple[Plan, PlanVersion]:
    """A new plan and its version 1."""
    code = code_in(message.code, "plan.code")
    first = version_in(version, code, 1, create_time)
    plan = Plan(
        code=code,
        name=text_in(message.name, "plan.name"),
        description=_description_in(message),
        version_count=1,
        latest_version=None if as_draft else first,
        create_time=create_time,
    )
    return plan, first


def plan_change_in(message: pricing_pb2.Plan, mask: FieldMask) -> tuple[str, str | None, str | None]:
    """The plan's code, and its new name and description; None for what does not change."""
    code = code_in(message.code, "plan.code")
    paths = mask_in(mask, "name", "description")
    name = text_in(message.name, "plan.name") if "name" in paths else None
    return code, name, _description_in(message) if "description" in paths else None


def plan_out(plan: Plan) -> pricing_pb2.Plan:
    latest = plan.latest_version
    return pricing_pb2.Plan(
        code=plan.code,
        name=plan.name,
        description=plan.description,
        version_count=plan.version_count,
        latest_version=None if latest is None else version_out(latest, VersionState.ACTIVE),
        create_time=timestamp_out(plan.create_time),
    )


def version_in(message: pricing_pb2.PlanVersion, plan_code: str, version: int, create_time: datetime) -> PlanVersion:
    """`message` is the field `version` of its request."""
    currency = currency_in(message.currency_code, "version.currency_code")
    charges = read_all(
        partial(charge_in, charge, f"version.charges[{index}]") for index, charge in enumerate(message.charges)
    )
    require_unique("CHARGE_CODE_DUPLICATE", [charge.code for charge in charges], "version.charges[{}].code")
    return PlanVersion(
        plan_code=plan_code,
        version=version,
        currency=currency,
        billing_interval=_interval_in(message.billing_interval, "version.billing_interval"),
        base_fee=_base_fee_in(message, currency, "version.base_fee"),
        charges=charges,
        tax_codes=_tax_codes_in(message.tax_codes, "version.tax_codes"),
        create_time=create_time,
    )


def version_out(version: PlanVersion, state: VersionState) -> pricing_pb2.PlanVersion:
    return pricing_pb2.PlanVersion(
        plan_code=version.plan_code,
        version=version.version,
        currency_code=version.currency,
        billing_interval=_INTERVALS_OUT[version.billing_interval],
        base_fee=None if version.base_fee is None else money_out(version.base_fee),
        charges=[charge_out(charge) for charge in version.charges],
        tax_codes=version.tax_codes,
        create_time=timestamp_out(version.create_time),
        state=_STATES_OUT[state],
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


def _description_in(message: pricing_pb2.Plan) -> str:
    return text_in(message.description, "plan.description", most=_DESCRIPTION_CHARACTERS, required=False)


def _tax_codes_in(codes: Sequence[str], field: str) -> tuple[str, ...]:
    read = read_all(partial(code_in, code, f"{field}[{index}]") for index, code in enumerate(codes))
    require_unique("TAX_CODE_DUPLICATE", read, field + "[{}]")
    return read


def _base_fee_in(message: pricing_pb2.PlanVersion, currency: str, field: str) -> Money | None:
    if not message.HasField("base_fee"):
        return None
    fee = money_in(message.base_fee, True, field)
    if fee.currency != currency:
        raise InvalidArgument(
            "CURRENCY_MISMATCH",
            f"{field} is in {fee.currency}, the version in {currency}",
            field=f"{field}.currency_code",
        )
    if fee.minor_units < 0:
        path = f"{field}.minor_units"
        raise InvalidArgument("AMOUNT_NEGATIVE", f"{path} is {fee.minor_units}; it must not be negative", field=path)
    return fee


def _interval_in(value: pricing_pb2.PlanVersion.BillingInterval.ValueType, field: str) -> BillingInterval:
    if not value:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    if value not in _INTERVALS:
        raise InvalidArgument("BILLING_INTERVAL_UNKNOWN", f"{field} is {value}, which means nothing", field=field)
    return _INTERVALS[value]
