"""The `given` of a case as a tenant's catalog: meters, taxes, add-ons, coupons and plans."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

from libs.common.money import exponent, plain
from tests.reference.aggregation import AGGREGATIONS
from tests.reference.cases import Fields, Json, Unsupported
from tests.reference.charge_model_prices import charge_in, text
from tests.reference.coupon_amount import FREQUENCIES
from tests.reference.scenario.stack import Clients
from weir.common.v1.money_pb2 import Money
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import addons_pb2, coupons_pb2, pricing_pb2, thresholds_pb2

TENANT_TAX = "billing_entity"
TAXED = (TENANT_TAX, "plan", "charge", "charges", "explicit")
"""Whom a tax is applied to; but for the first, plans, charges and steps name their taxes."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is sold, in `currency`. Codes are the case's in lower case, and a charge has its metric's."""

    currency: str
    meters: Sequence[metering_pb2.Meter]
    taxes: Sequence[pricing_pb2.Tax]
    add_ons: Sequence[addons_pb2.AddOn]
    coupons: Sequence[coupons_pb2.Coupon]
    plans: Sequence[tuple[pricing_pb2.Plan, pricing_pb2.PlanVersion]]


def code_in(name: str) -> str:
    return name.lower()


def catalog_in(given: Fields) -> Catalog:
    """Raises Unsupported for what Weir has no word for."""
    currency = given.take("currency", "EUR")
    plans = [_plan_in(each, currency) for each in _each(given, "plans")]
    add_ons = [_add_on_in(each, currency) for each in _each(given, "add_ons")]
    named = {each.code for each in add_ons}
    sold = {fixed.add_on_code: fixed for _, version in plans for fixed in version.fixed_charges}
    return Catalog(
        currency=currency,
        meters=[_meter_in(each) for each in _each(given, "metrics")],
        taxes=[_tax_in(each) for each in _each(given, "taxes")],
        add_ons=[*add_ons, *(_add_on(code, 0, currency) for code in sold if code not in named)],
        coupons=[_coupon_in(each, currency) for each in _each(given, "coupons")],
        plans=plans,
    )


async def make(clients: Clients, catalog: Catalog) -> None:
    """What is named comes before what names it."""
    for meter in catalog.meters:
        await clients.metering.CreateMeter(metering_pb2.CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    for tax in catalog.taxes:
        await clients.pricing.CreateTax(pricing_pb2.CreateTaxRequest(request_id=str(uuid4()), tax=tax))
    for add_on in catalog.add_ons:
        await clients.add_ons.CreateAddOn(addons_pb2.CreateAddOnRequest(request_id=str(uuid4()), add_on=add_on))
    for plan, version in catalog.plans:
        request = pricing_pb2.CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
        await clients.pricing.CreatePlan(request)
    for coupon in catalog.coupons:
        await clients.coupons.CreateCoupon(coupons_pb2.CreateCouponRequest(request_id=str(uuid4()), coupon=coupon))


def _each(fields: Fields, key: str) -> Iterator[Fields]:
    for index, values in enumerate(fields.take(key) or []):
        yield Fields(values, f"{fields.path}.{key}[{index}]")


def _meter_in(fields: Fields) -> metering_pb2.Meter:
    aggregation = fields.take("aggregation_type")
    if aggregation not in AGGREGATIONS:
        raise Unsupported(f"the aggregation {aggregation!r}")
    meter = metering_pb2.Meter(
        code=code_in(fields.take("code")),
        aggregation=AGGREGATIONS[aggregation],
        value_property=fields.take("field_name") or "",
        recurring=fields.take("recurring", False),
        dimensions=sorted(fields.take("filters") or ()),
    )
    fields.close()
    return meter


def _tax_in(fields: Fields) -> pricing_pb2.Tax:
    code, applied_to = code_in(fields.take("code")), fields.take("applied_to")
    if applied_to not in TAXED:
        raise Unsupported(f"a tax applied to {applied_to!r}")
    tax = pricing_pb2.Tax(
        code=code, name=code, rate_percent=text(fields.take("rate")), tenant_default=applied_to == TENANT_TAX
    )
    fields.close()
    return tax


def _add_on_in(fields: Fields, currency: str) -> addons_pb2.AddOn:
    made = _add_on(code_in(fields.take("code")), fields.take("amount_cents"), currency)
    fields.close()
    return made


def _add_on(code: str, minor_units: int, currency: str) -> addons_pb2.AddOn:
    return addons_pb2.AddOn(code=code, name=code, currency_code=currency, amount=_money(minor_units, currency))


def _coupon_in(fields: Fields, currency: str) -> coupons_pb2.Coupon:
    code = code_in(fields.take("code"))
    coupon = coupons_pb2.Coupon(code=code, name=code, frequency=FREQUENCIES[fields.take("frequency")])
    if (kind := fields.take("type")) != "fixed_amount":
        raise Unsupported(f"the coupon type {kind!r}")
    coupon.currency_code = currency
    coupon.fixed_amount.CopyFrom(_money(fields.take("amount_cents"), currency))
    fields.close()
    return coupon


def _plan_in(fields: Fields, currency: str) -> tuple[pricing_pb2.Plan, pricing_pb2.PlanVersion]:
    code = code_in(fields.take("code"))
    version = pricing_pb2.PlanVersion(
        currency_code=currency,
        billing_interval=_interval_in(fields.take("interval")),
        base_fee=_money(fields.take("amount_cents"), currency),
        base_fee_in_advance=fields.take("pay_in_advance"),
        trial_days=fields.take("trial_period_days", 0),
        tax_codes=_codes_in(fields.take("taxes")),
        charges=[_charge_in(each, currency) for each in _each(fields, "charges")],
        fixed_charges=[_fixed_charge_in(each) for each in _each(fields, "fixed_charges")],
        usage_thresholds=[_threshold_in(each, currency) for each in _each(fields, "usage_thresholds")],
    )
    if minimum := fields.take("minimum_commitment_cents"):
        version.minimum_commitment.amount.CopyFrom(_money(minimum, currency))
    fields.close()
    return pricing_pb2.Plan(code=code, name=code), version


def _interval_in(name: str) -> "pricing_pb2.PlanVersion.BillingInterval.ValueType":
    return pricing_pb2.PlanVersion.BillingInterval.Value(f"BILLING_INTERVAL_{name.upper()}")


def _charge_in(fields: Fields, currency: str) -> pricing_pb2.Charge:
    charge = _priced(fields, code_in(fields.take("metric")), fields.take("charge_model"))
    charge.in_advance = fields.take("pay_in_advance", False)
    charge.prorated = fields.take("prorated", False)
    charge.tax_codes.extend(_codes_in(fields.take("taxes")))
    if not fields.take("invoiceable", True):
        charge.invoiceable = False
    charge.regroup_paid_fees = fields.take("regroup_paid_fees") == "invoice"
    if minimum := fields.take("min_amount_cents"):
        charge.minimum_amount = plain(Decimal(minimum).scaleb(-exponent(currency)))
    for part in _each(fields, "filters"):
        charge.filters.append(_filter_in(part, f"{charge.code}-{len(charge.filters) + 1}", charge))
    fields.close()
    return charge


def _priced(fields: Fields, code: str, model: Any) -> pricing_pb2.Charge:
    """Takes the properties of `fields`."""
    told = {"charge_model": model, "properties": fields.take("properties", {})}
    return charge_in(Fields(told, fields.path), code)


def _filter_in(fields: Fields, code: str, charge: pricing_pb2.Charge) -> pricing_pb2.ChargeFilter:
    model = charge.WhichOneof("price")
    assert model is not None
    priced = _priced(fields, code, model)
    values: Json = fields.take("values")
    fields.close()
    part = pricing_pb2.ChargeFilter(
        code=code,
        properties=[pricing_pb2.PropertyFilter(property=name, values=values[name]) for name in values],
    )
    getattr(part, model).CopyFrom(getattr(priced, model))
    return part


def _fixed_charge_in(fields: Fields) -> pricing_pb2.FixedCharge:
    code = code_in(fields.take("add_on"))
    priced = _priced(fields, code, fields.take("charge_model"))
    model = priced.WhichOneof("price")
    assert model is not None
    fixed = pricing_pb2.FixedCharge(
        code=code,
        add_on_code=code,
        units=text(fields.take("units")),
        in_advance=fields.take("pay_in_advance"),
        prorated=fields.take("prorated"),
    )
    fields.close()
    getattr(fixed, model).CopyFrom(getattr(priced, model))
    return fixed


def _threshold_in(fields: Fields, currency: str) -> thresholds_pb2.UsageThreshold:
    threshold = thresholds_pb2.UsageThreshold(
        amount=_money(fields.take("amount_cents"), currency), recurring=fields.take("recurring", False)
    )
    fields.close()
    return threshold


def _codes_in(names: Sequence[str] | None) -> list[str]:
    return [code_in(name) for name in names or ()]


def _money(minor_units: int, currency: str) -> Money:
    return Money(currency_code=currency, minor_units=minor_units)
