"""Protobuf to domain (`_in`, which validate and name the wrong field) and back (`_out`)."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TypeVar, assert_never

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import FieldViolation, InvalidArgument
from libs.common.money import Money, plain
from libs.common.paging import Page, page_in
from libs.common.wire import amount_in, code_in, currency_in, decimal_in, money_in, money_out, text_in, timestamp_out
from services.pricing.domain.breakdown import ZERO, RatedTier
from services.pricing.domain.graduated import GraduatedPrice, PriceTier
from services.pricing.domain.package import PackagePrice
from services.pricing.domain.plans import BASE_FEE_CODE, BillingInterval, Charge, Plan, PlanVersion, Price
from services.pricing.domain.rating import RatedCharge
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.tax import MAX_PERCENT, PERCENT_DIGITS, Tax
from weir.pricing.v1 import pricing_pb2

T = TypeVar("T")

MAX_REQUESTS = 10_000
_DESCRIPTION_CHARACTERS = 1000
_MAX_VERSION = 2**31 - 1

_INTERVALS = {pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY: BillingInterval.MONTHLY}
_INTERVALS_OUT = {interval: number for number, interval in _INTERVALS.items()}


def tax_in(message: pricing_pb2.Tax, create_time: datetime) -> Tax:
    return Tax(
        code=code_in(message.code, "tax.code"),
        name=text_in(message.name, "tax.name"),
        rate_percent=_percent_in(message.rate_percent, "tax.rate_percent"),
        create_time=create_time,
    )


def tax_change_in(message: pricing_pb2.Tax, mask: FieldMask) -> tuple[str, str | None, Decimal | None]:
    """The tax's code, and its new name and rate; None for what does not change."""
    code = code_in(message.code, "tax.code")
    if not mask.paths:
        raise InvalidArgument("FIELD_MISSING", "update_mask is required", field="update_mask")
    if unknown := sorted(set(mask.paths) - {"name", "rate_percent"}):
        raise InvalidArgument(
            "MASK_PATH_UNKNOWN",
            f"update_mask names {unknown[0]!r}; only name and rate_percent can change",
            field="update_mask",
        )
    name = text_in(message.name, "tax.name") if "name" in mask.paths else None
    rate = _percent_in(message.rate_percent, "tax.rate_percent") if "rate_percent" in mask.paths else None
    return code, name, rate


def tax_out(tax: Tax) -> pricing_pb2.Tax:
    return pricing_pb2.Tax(
        code=tax.code,
        name=tax.name,
        rate_percent=plain(tax.rate_percent),
        create_time=timestamp_out(tax.create_time),
    )


def plan_in(message: pricing_pb2.Plan, version: pricing_pb2.PlanVersion, create_time: datetime) -> Plan:
    """A new plan, whose version 1 is `version`."""
    code = code_in(message.code, "plan.code")
    return Plan(
        code=code,
        name=text_in(message.name, "plan.name"),
        description=text_in(message.description, "plan.description", most=_DESCRIPTION_CHARACTERS, required=False),
        latest_version=version_in(version, code, 1, create_time),
        create_time=create_time,
    )


def plan_out(plan: Plan) -> pricing_pb2.Plan:
    return pricing_pb2.Plan(
        code=plan.code,
        name=plan.name,
        description=plan.description,
        latest_version=version_out(plan.latest_version),
        create_time=timestamp_out(plan.create_time),
    )


def version_in(message: pricing_pb2.PlanVersion, plan_code: str, version: int, create_time: datetime) -> PlanVersion:
    """`message` is the field `version` of its request."""
    currency = currency_in(message.currency_code, "version.currency_code")
    charges = _read_all(
        partial(_charge_in, charge, f"version.charges[{index}]") for index, charge in enumerate(message.charges)
    )
    _require_unique("CHARGE_CODE_DUPLICATE", [charge.code for charge in charges], "version.charges[{}].code")
    tax_codes = _read_all(
        partial(code_in, code, f"version.tax_codes[{index}]") for index, code in enumerate(message.tax_codes)
    )
    _require_unique("TAX_CODE_DUPLICATE", tax_codes, "version.tax_codes[{}]")
    return PlanVersion(
        plan_code=plan_code,
        version=version,
        currency=currency,
        billing_interval=_interval_in(message.billing_interval, "version.billing_interval"),
        base_fee=_base_fee_in(message, currency, "version.base_fee"),
        charges=charges,
        tax_codes=tax_codes,
        create_time=create_time,
    )


def version_out(version: PlanVersion) -> pricing_pb2.PlanVersion:
    return pricing_pb2.PlanVersion(
        plan_code=version.plan_code,
        version=version.version,
        currency_code=version.currency,
        billing_interval=_INTERVALS_OUT[version.billing_interval],
        base_fee=None if version.base_fee is None else money_out(version.base_fee),
        charges=[_charge_out(charge) for charge in version.charges],
        tax_codes=version.tax_codes,
        create_time=timestamp_out(version.create_time),
    )


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


def quantities_in(messages: Sequence[pricing_pb2.ChargeQuantity], field: str) -> dict[str, Decimal]:
    """Quantity by charge code."""
    quantities = _read_all(
        partial(_quantity_in, message, f"{field}[{index}]") for index, message in enumerate(messages)
    )
    _require_unique("CHARGE_CODE_DUPLICATE", [code for code, _ in quantities], field + "[{}].charge_code")
    return dict(quantities)


def require_batch(requests: Sequence[pricing_pb2.RateRequest]) -> None:
    """1 to MAX_REQUESTS of them."""
    if not requests:
        raise InvalidArgument("FIELD_MISSING", "requests is required", field="requests")
    if len(requests) > MAX_REQUESTS:
        raise InvalidArgument(
            "REQUESTS_TOO_MANY", f"{len(requests)} requests; at most {MAX_REQUESTS} in one call", field="requests"
        )


def rated_out(charges: Iterable[RatedCharge]) -> pricing_pb2.RateResponse:
    return pricing_pb2.RateResponse(charges=[_rated_charge_out(charge) for charge in charges])


def _charge_in(message: pricing_pb2.Charge, field: str) -> Charge:
    code = code_in(message.code, f"{field}.code")
    if code == BASE_FEE_CODE:
        raise InvalidArgument(
            "CHARGE_CODE_RESERVED", f"{field}.code is {code!r}, the line of the base fee", field=f"{field}.code"
        )
    return Charge(
        code=code,
        name=text_in(message.name, f"{field}.name", required=False),
        meter_code=code_in(message.meter_code, f"{field}.meter_code"),
        price=_price_in(message, field),
    )


def _price_in(message: pricing_pb2.Charge, field: str) -> Price:
    match message.WhichOneof("price"):
        case "standard":
            return StandardPrice(amount_in(message.standard.unit_price, f"{field}.standard.unit_price"))
        case "graduated":
            return _graduated_in(message.graduated, f"{field}.graduated")
        case "package":
            return _package_in(message.package, f"{field}.package")
        case None:
            raise InvalidArgument(
                "FIELD_MISSING", f"{field} has no price: give standard, graduated or package", field=f"{field}.price"
            )
        case unknown:
            assert_never(unknown)


def _graduated_in(message: pricing_pb2.GraduatedPrice, field: str) -> GraduatedPrice:
    if not message.tiers:
        raise InvalidArgument("FIELD_MISSING", f"{field}.tiers is required", field=f"{field}.tiers")
    last = len(message.tiers) - 1
    tiers = _read_all(
        partial(_tier_in, tier, f"{field}.tiers[{index}]", is_last=index == last)
        for index, tier in enumerate(message.tiers)
    )
    floor = ZERO
    for index, tier in enumerate(tiers[:-1]):
        assert tier.up_to is not None
        if tier.up_to <= floor:
            path = f"{field}.tiers[{index}].up_to"
            raise InvalidArgument(
                "TIERS_NOT_ASCENDING", f"{path} is {plain(tier.up_to)}, not more than {plain(floor)}", field=path
            )
        floor = tier.up_to
    return GraduatedPrice(tiers)


def _tier_in(message: pricing_pb2.PriceTier, field: str, *, is_last: bool) -> PriceTier:
    if is_last and message.up_to:
        raise InvalidArgument(
            "LAST_TIER_BOUNDED", f"{field}.up_to must be empty: the last tier has no end", field=f"{field}.up_to"
        )
    return PriceTier(
        up_to=None if is_last else decimal_in(message.up_to, f"{field}.up_to"),
        unit_price=amount_in(message.unit_price, f"{field}.unit_price"),
        flat_fee=amount_in(message.flat_fee, f"{field}.flat_fee", default=ZERO),
    )


def _package_in(message: pricing_pb2.PackagePrice, field: str) -> PackagePrice:
    size = decimal_in(message.package_size, f"{field}.package_size")
    if size <= 0:
        raise InvalidArgument(
            "PACKAGE_SIZE_NOT_POSITIVE",
            f"{field}.package_size is {plain(size)}; a package has more than 0 units",
            field=f"{field}.package_size",
        )
    return PackagePrice(
        package_size=size,
        package_price=amount_in(message.package_price, f"{field}.package_price"),
        free_units=amount_in(message.free_units, f"{field}.free_units", default=ZERO),
    )


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


def _percent_in(value: str, field: str) -> Decimal:
    percent = decimal_in(value, field)
    if not 0 <= percent <= MAX_PERCENT:
        raise InvalidArgument("PERCENT_OUT_OF_RANGE", f"{field} is {value}; expected 0 to {MAX_PERCENT}", field=field)
    if round(percent, PERCENT_DIGITS) != percent:
        raise InvalidArgument(
            "PERCENT_TOO_PRECISE", f"{field} is {value}; at most {PERCENT_DIGITS} digits after the point", field=field
        )
    return percent


def _quantity_in(message: pricing_pb2.ChargeQuantity, field: str) -> tuple[str, Decimal]:
    return code_in(message.charge_code, f"{field}.charge_code"), decimal_in(message.quantity, f"{field}.quantity")


def _charge_out(charge: Charge) -> pricing_pb2.Charge:
    message = pricing_pb2.Charge(code=charge.code, name=charge.name, meter_code=charge.meter_code)
    match charge.price:
        case StandardPrice(unit_price):
            message.standard.unit_price = plain(unit_price)
        case GraduatedPrice(tiers):
            message.graduated.tiers.extend(_tier_out(tier) for tier in tiers)
        case PackagePrice(package_size, package_price, free_units):
            message.package.package_size = plain(package_size)
            message.package.package_price = plain(package_price)
            message.package.free_units = plain(free_units)
        case unknown:
            assert_never(unknown)
    return message


def _tier_out(tier: PriceTier) -> pricing_pb2.PriceTier:
    return pricing_pb2.PriceTier(
        up_to="" if tier.up_to is None else plain(tier.up_to),
        unit_price=plain(tier.unit_price),
        flat_fee=plain(tier.flat_fee),
    )


def _rated_charge_out(rated: RatedCharge) -> pricing_pb2.RatedCharge:
    return pricing_pb2.RatedCharge(
        charge_code=rated.charge.code,
        name=rated.charge.name or rated.charge.code,
        meter_code=rated.charge.meter_code,
        charge_model=rated.charge.price.model,
        quantity=plain(rated.quantity),
        amount=money_out(rated.amount),
        unrounded_amount=plain(rated.unrounded_amount),
        tiers=[_rated_tier_out(tier) for tier in rated.tiers],
    )


def _rated_tier_out(tier: RatedTier) -> pricing_pb2.RatedTier:
    begin = {"from": plain(tier.above)}  # a keyword of Python
    return pricing_pb2.RatedTier(
        **begin,
        up_to="" if tier.up_to is None else plain(tier.up_to),
        quantity=plain(tier.quantity),
        unit_price=plain(tier.unit_price),
        flat_fee=plain(tier.flat_fee),
        amount=plain(tier.amount),
        free_units=plain(tier.free_units),
    )


def _read_all(readers: Iterable[Callable[[], T]]) -> tuple[T, ...]:
    """What each reader reads; raises InvalidArgument with everything that any of them finds wrong."""
    values: list[T] = []
    violations: list[FieldViolation] = []
    for read in readers:
        try:
            values.append(read())
        except InvalidArgument as error:
            violations.extend(error.violations)
    if violations:
        raise InvalidArgument.of(tuple(violations))
    return tuple(values)


def _require_unique(reason: str, codes: Sequence[str], path: str) -> None:
    """`path` has {} where the position goes."""
    seen: set[str] = set()
    for index, code in enumerate(codes):
        if code in seen:
            field = path.format(index)
            raise InvalidArgument(reason, f"{field} is {code!r} once more", field=field)
        seen.add(code)
