"""What a plan version says beside its charges: each wrong field is named, what it names must be there."""

from collections.abc import Callable
from decimal import Decimal
from typing import TypeAlias
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import BillingError, InvalidArgument, NotFound
from libs.common.money import Money
from services.pricing import convert
from services.pricing.domain.breakdown import ZERO
from services.pricing.domain.phases import in_phase, phase_in, scaled
from services.pricing.domain.plans import BillingInterval, Charge, Phase, PlanVersion, PriceChange
from services.pricing.domain.rating import rate
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.usage import Usage
from tests.pricing.conftest import NOW, Client, Dial
from tests.pricing.costs import statable
from tests.pricing.requests import create_plan, create_tax, llm_api, marketplace
from tests.pricing.requests import rate as rate_request
from tests.pricing.strategies import decimals, monotonic_prices
from weir.common.v1 import money_pb2
from weir.pricing.v1 import addons_pb2, features_pb2, pricing_pb2
from weir.pricing.v1.addons_pb2_grpc import AddOnServiceStub
from weir.pricing.v1.features_pb2_grpc import FeatureServiceStub

Version: TypeAlias = pricing_pb2.PlanVersion
STANDARD = pricing_pb2.StandardPrice(unit_price="1")
TIERS = [pricing_pb2.PriceTier(unit_price="1")]
WINDOWS = [pricing_pb2.TimeWindow(code="night", start_hour=0, end_hour=6, unit_price="1")]
NIGHT = pricing_pb2.TimeOfDayPrice(time_zone="UTC", windows=WINDOWS, default_unit_price="2")
LIFELONG = {"accumulation": pricing_pb2.Charge.ACCUMULATION_CONTRACT}
IN_ADVANCE, REGROUPING = "IN_ADVANCE_UNSUPPORTED", "REGROUPING_UNSUPPORTED"


def dollars(minor_units: int, currency: str = "USD") -> money_pb2.Money:
    return money_pb2.Money(currency_code=currency, minor_units=minor_units)


def charge(version: Version, **fields: object) -> None:
    """The first charge with other fields."""
    version.charges[0].MergeFrom(pricing_pb2.Charge(**fields))  # type: ignore[arg-type]


def fixed(version: Version, **fields: object) -> None:
    made = pricing_pb2.FixedCharge(code="seats", add_on_code="seat", units="3", standard=STANDARD)
    made.MergeFrom(pricing_pb2.FixedCharge(**fields))  # type: ignore[arg-type]
    version.fixed_charges.append(made)


def yearly_minimum(version: Version) -> None:
    version.billing_interval, version.charges_monthly = Version.BILLING_INTERVAL_YEARLY, True
    version.minimum_commitment.amount.CopyFrom(dollars(1))


def thresholds(version: Version, *amounts: int, recurring: int | None = None) -> None:
    for index, amount in enumerate(amounts):
        version.usage_thresholds.add(amount=dollars(amount), recurring=index == recurring)


def phase(version: Version, *months: int, **change: object) -> None:
    """Phases between the months; `change` is the price change of the first."""
    for start, end in zip(months[::2], months[1::2], strict=True):
        version.phases.add(from_month=start, to_month=end)
    if change:
        version.phases[0].prices.add(**change)  # type: ignore[arg-type]


VOLUME = pricing_pb2.VolumePrice(tiers=TIERS)
GRADUATED = pricing_pb2.GraduatedPrice(tiers=TIERS)
PRORATED = "PRORATION_UNSUPPORTED"
ASCENDING = "THRESHOLDS_NOT_ASCENDING"

WRONG: list[tuple[Callable[[Version], object], str, str]] = [
    (lambda v: charge(v, volume=VOLUME, in_advance=True), "IN_ADVANCE_UNSUPPORTED", "charges[0].in_advance"),
    (lambda v: charge(v, minimum_amount="1", in_advance=True), "IN_ADVANCE_UNSUPPORTED", "charges[0].in_advance"),
    (lambda v: charge(v, regroup_paid_fees=True, in_advance=True), REGROUPING, "charges[0].regroup_paid_fees"),
    (lambda v: charge(v, time_of_day=NIGHT, in_advance=True), "IN_ADVANCE_UNSUPPORTED", "charges[0].in_advance"),
    (lambda v: charge(v, graduated=GRADUATED, in_advance=True, **LIFELONG), IN_ADVANCE, "charges[0].in_advance"),
    (lambda v: charge(v, invoiceable=False), "INVOICE_REQUIRED", "charges[0].invoiceable"),
    (lambda v: charge(v, prorated=True), PRORATED, "charges[0].prorated"),
    (lambda v: charge(v, graduated=GRADUATED, prorated=True, in_advance=True), PRORATED, "charges[0].prorated"),
    (lambda v: charge(v, tax_codes=["vat", "vat"]), "TAX_CODE_DUPLICATE", "charges[0].tax_codes[1]"),
    (lambda v: fixed(v, code="base"), "CHARGE_CODE_RESERVED", "fixed_charges[0].code"),
    (lambda v: fixed(v, code="requests"), "CHARGE_CODE_DUPLICATE", "fixed_charges[0].code"),
    (lambda v: (fixed(v), fixed(v)), "CHARGE_CODE_DUPLICATE", "fixed_charges[1].code"),
    (lambda v: fixed(v, units="-1"), "AMOUNT_NEGATIVE", "fixed_charges[0].units"),
    (
        lambda v: fixed(v, standard=pricing_pb2.StandardPrice(unit_price="-1")),
        "AMOUNT_NEGATIVE",
        "fixed_charges[0].standard.unit_price",
    ),
    (lambda v: fixed(v, volume=VOLUME, in_advance=True), "IN_ADVANCE_UNSUPPORTED", "fixed_charges[0].in_advance"),
    (lambda v: fixed(v, graduated=GRADUATED, in_advance=True, prorated=True), PRORATED, "fixed_charges[0].prorated"),
    (lambda v: v.fixed_charges.add(code="a", add_on_code="b", units="1"), "FIELD_MISSING", "fixed_charges[0].price"),
    (lambda v: v.minimum_commitment.SetInParent(), "FIELD_MISSING", "minimum_commitment.amount"),
    (
        lambda v: v.minimum_commitment.amount.CopyFrom(dollars(0)),
        "AMOUNT_NOT_POSITIVE",
        "minimum_commitment.amount.minor_units",
    ),
    (
        lambda v: v.minimum_commitment.amount.CopyFrom(dollars(1, "EUR")),
        "CURRENCY_MISMATCH",
        "minimum_commitment.amount.currency_code",
    ),
    (lambda v: thresholds(v, 10, 10), ASCENDING, "usage_thresholds[1].amount"),
    (lambda v: thresholds(v, 10, 20, recurring=0), ASCENDING, "usage_thresholds[1]"),
    (lambda v: thresholds(v, 0), "AMOUNT_NOT_POSITIVE", "usage_thresholds[0].amount.minor_units"),
    (lambda v: setattr(v, "trial_days", -1), "TRIAL_OUT_OF_RANGE", "trial_days"),
    (lambda v: setattr(v, "trial_days", 3651), "TRIAL_OUT_OF_RANGE", "trial_days"),
    (
        lambda v: (v.entitlements.add(feature_code="a"), v.entitlements.add(feature_code="a")),
        "ENTITLEMENT_DUPLICATE",
        "entitlements[1].feature_code",
    ),
    (
        lambda v: v.entitlements.add(feature_code="a").privileges.add(privilege_code="b"),
        "FIELD_MISSING",
        "entitlements[0].privileges[0].value",
    ),
    (lambda v: phase(v, -1, 3), "PHASE_EMPTY", "phases[0].from_month"),
    (lambda v: phase(v, 3, 3), "PHASE_EMPTY", "phases[0].to_month"),
    (lambda v: phase(v, 0, 3, 2, 4), "PHASES_OVERLAP", "phases[1].from_month"),
    (lambda v: phase(v, 0, 0, 3, 4), "PHASES_OVERLAP", "phases[1].from_month"),
    (lambda v: phase(v, 0, 3, charge_code="other", percent="1"), "CHARGE_NOT_FOUND", "phases[0].prices[0].charge_code"),
    (
        lambda v: phase(v, 0, 3, charge_code="requests", filter="x", percent="1"),
        "CHARGE_FILTER_NOT_FOUND",
        "phases[0].prices[0].filter",
    ),
    (lambda v: phase(v, 0, 3, charge_code="requests"), "FIELD_MISSING", "phases[0].prices[0].change"),
    (
        lambda v: phase(v, 0, 3, charge_code="requests", percent="-100.1"),
        "PERCENT_OUT_OF_RANGE",
        "phases[0].prices[0].percent",
    ),
    (
        lambda v: phase(v, 0, 3, charge_code="requests", percent="0.00001"),
        "PERCENT_TOO_PRECISE",
        "phases[0].prices[0].percent",
    ),
    (lambda v: setattr(v, "charges_monthly", True), "CHARGES_NOT_DIVISIBLE", "charges_monthly"),
    (yearly_minimum, "MINIMUM_WITH_CHARGES_MONTHLY", "minimum_commitment"),
    (lambda v: setattr(v, "currency_code", "XAU"), "CURRENCY_UNKNOWN", "currency_code"),
    (lambda v: setattr(v, "billing_interval", 9), "BILLING_INTERVAL_UNKNOWN", "billing_interval"),
]


@pytest.mark.parametrize(("change", "reason", "field"), WRONG, ids=[f"{reason}-{field}" for _, reason, field in WRONG])
def test_a_wrong_field_of_a_version_is_named(change: Callable[[Version], object], reason: str, field: str) -> None:
    version = llm_api()
    change(version)
    with pytest.raises(InvalidArgument) as refused:
        convert.version_in(version, "llm-api", 1, NOW)
    assert (refused.value.reason, refused.value.field) == (reason, f"version.{field}")


def test_a_price_is_changed_once_in_a_phase() -> None:
    version = llm_api()
    phase(version, 0, 3, charge_code="requests", percent="1")
    version.phases[0].prices.add(charge_code="requests", percent="2")
    with pytest.raises(InvalidArgument) as refused:
        convert.version_in(version, "llm-api", 1, NOW)
    assert refused.value.reason == "PRICE_CHANGE_DUPLICATE"


def test_a_dynamic_price_cannot_be_changed_by_percent() -> None:
    version = marketplace()
    phase(version, 0, 3, charge_code="resale", percent="1")
    with pytest.raises(InvalidArgument) as refused:
        convert.version_in(version, "marketplace", 1, NOW)
    assert (refused.value.reason, refused.value.field) == (
        "PERCENT_CHANGE_UNSUPPORTED",
        "version.phases[0].prices[0].percent",
    )


def test_a_price_of_a_phase_must_fit_its_charge() -> None:
    """A volume price can't be billed in advance, whenever it holds."""
    version = llm_api()
    charge(version, in_advance=True)
    phase(version, 0, 3, charge_code="requests", price=pricing_pb2.ChargePrice(volume=VOLUME))
    with pytest.raises(InvalidArgument) as refused:
        convert.version_in(version, "llm-api", 1, NOW)
    assert refused.value.reason == "IN_ADVANCE_UNSUPPORTED"


def test_every_wrong_field_of_a_version_is_named_at_once() -> None:
    version = llm_api()
    version.trial_days = -1
    version.base_fee.minor_units = -1
    thresholds(version, 0)
    fixed(version, code="base")
    with pytest.raises(InvalidArgument) as refused:
        convert.version_in(version, "llm-api", 1, NOW)
    assert [each.field for each in refused.value.violations] == [
        "version.base_fee.minor_units",
        "version.fixed_charges[0].code",
        "version.usage_thresholds[0].amount.minor_units",
        "version.trial_days",
    ]


async def make_names(dial: Dial, pricing: Client) -> None:
    await pricing.CreateTax(create_tax("vat"))
    add_on = addons_pb2.AddOn(code="seat", name="Seat", currency_code="USD", amount=dollars(1500))
    await AddOnServiceStub(dial("acme")).CreateAddOn(
        addons_pb2.CreateAddOnRequest(request_id=str(uuid4()), add_on=add_on)
    )
    level = features_pb2.Privilege(code="level", type=features_pb2.Privilege.TYPE_SELECT, options=["gold"])
    feature = features_pb2.Feature(code="support", name="Support", privileges=[level])
    await FeatureServiceStub(dial("acme")).CreateFeature(
        features_pb2.CreateFeatureRequest(request_id=str(uuid4()), feature=feature)
    )


def rich() -> pricing_pb2.CreatePlanRequest:
    """A plan with everything that a version can say beside its charges."""
    request = create_plan()
    version = request.version
    version.billing_interval = Version.BILLING_INTERVAL_YEARLY
    version.base_fee_in_advance = True
    charge(version, tax_codes=["vat"])
    fixed(version, tax_codes=["vat"], in_advance=True)
    version.minimum_commitment.CopyFrom(
        pricing_pb2.MinimumCommitment(amount=dollars(10_000), name="Minimum", tax_codes=["vat"])
    )
    thresholds(version, 1000, 2000, recurring=1)
    version.trial_days = 14
    version.entitlements.add(feature_code="support").privileges.add(privilege_code="level", string_value="gold")
    phase(version, 0, 3, charge_code="output_tokens", percent="-50")
    version.phases[0].base_fee_percent = "-100"
    return request


async def test_everything_that_a_version_says_comes_back(pricing: Client, dial: Dial) -> None:
    await make_names(dial, pricing)
    request = rich()
    made = (await pricing.CreatePlan(request)).plan.latest_version
    for set_by_server in ("plan_code", "version", "create_time", "state"):
        made.ClearField(set_by_server)  # type: ignore[arg-type]
    assert made == request.version


NAMED: list[tuple[Callable[[Version], object], str, str]] = [
    (lambda v: v.charges[0].tax_codes.append("tva"), "TAX_NOT_FOUND", "charges[0].tax_codes[1]"),
    (lambda v: v.fixed_charges[0].tax_codes.append("tva"), "TAX_NOT_FOUND", "fixed_charges[0].tax_codes[1]"),
    (lambda v: v.minimum_commitment.tax_codes.append("tva"), "TAX_NOT_FOUND", "minimum_commitment.tax_codes[1]"),
    (lambda v: setattr(v.fixed_charges[0], "add_on_code", "desk"), "ADD_ON_NOT_FOUND", "fixed_charges[0].add_on_code"),
    (lambda v: setattr(v.entitlements[0], "feature_code", "sso"), "FEATURE_NOT_FOUND", "entitlements[0].feature_code"),
    (
        lambda v: setattr(v.entitlements[0].privileges[0], "privilege_code", "hours"),
        "PRIVILEGE_NOT_FOUND",
        "entitlements[0].privileges[0].privilege_code",
    ),
]


@pytest.mark.parametrize(("change", "reason", "field"), NAMED, ids=[field for _, _, field in NAMED])
async def test_what_a_version_names_must_be_there_or_nothing_is_made(
    pricing: Client, dial: Dial, change: Callable[[Version], object], reason: str, field: str
) -> None:
    await make_names(dial, pricing)
    request = rich()
    change(request.version)
    with pytest.raises(NotFound) as refused:
        await pricing.CreatePlan(request)
    assert (refused.value.reason, refused.value.metadata["field"]) == (reason, f"version.{field}")
    with pytest.raises(NotFound):
        await pricing.GetPlan(pricing_pb2.GetPlanRequest(code="llm-api"))


async def test_a_privilege_has_a_value_of_its_type(pricing: Client, dial: Dial) -> None:
    await make_names(dial, pricing)
    request = rich()
    for value in ({"string_value": "silver"}, {"integer_value": 1}):
        request.version.entitlements[0].privileges[0].CopyFrom(
            features_pb2.PrivilegeValue(privilege_code="level", **value)  # type: ignore[arg-type]
        )
        with pytest.raises(InvalidArgument) as refused:
            await pricing.CreatePlan(request)
        assert (refused.value.reason, refused.value.field) == (
            "PRIVILEGE_VALUE_MISMATCHED",
            "version.entitlements[0].privileges[0].value",
        )


async def test_a_version_with_phases_is_rated_by_the_month_of_the_contract(pricing: Client, dial: Dial) -> None:
    await make_names(dial, pricing)
    await pricing.CreatePlan(rich())
    request = rate_request(output_tokens="1000000")
    with pytest.raises(InvalidArgument) as refused:
        await pricing.Rate(request)
    assert (refused.value.reason, refused.value.field) == ("CONTRACT_MONTH_MISSING", "contract_month")
    amounts = {}
    for month in (0, 2, 3, 40, 1):
        request.contract_month = month
        amounts[month] = (await pricing.Rate(request)).charges[-1].amount.minor_units
    assert amounts == {0: 500, 1: 500, 2: 500, 3: 1000, 40: 1000}
    request.contract_month = -1
    with pytest.raises(InvalidArgument) as refused:
        await pricing.Rate(request)
    assert refused.value.reason == "CONTRACT_MONTH_NEGATIVE"


def version_with(phases: tuple[Phase, ...], base_fee: Money | None = None) -> PlanVersion:
    sold = (Charge("calls", "", "calls", StandardPrice(Decimal(2))),)
    return PlanVersion("pro", 1, "USD", BillingInterval.MONTHLY, base_fee, sold, (), NOW, phases=phases)


def test_a_phase_has_its_months_and_no_others() -> None:
    first, last = Phase("", 0, 3, None, ()), Phase("", 6, None, None, ())
    version = version_with((first, last))
    found = {month: phase_in(version, month) for month in (0, 2, 3, 5, 6, 1000)}
    assert found == {0: first, 2: first, 3: None, 5: None, 6: last, 1000: last}


@pytest.mark.parametrize(
    ("change", "fee"),
    [(None, 999), (Money(5, "USD"), 5), (Decimal("-50"), 500), (Decimal("-100"), 0), (Decimal("12.5"), 1124)],
)
def test_a_base_fee_is_replaced_or_changed_by_percent_and_rounded_once(
    change: Money | Decimal | None, fee: int
) -> None:
    phase = Phase("", 0, None, change, (PriceChange("calls", "", StandardPrice(Decimal(1))),))
    in_it = in_phase(version_with((phase,), Money(999, "USD")), phase)
    assert in_it.base_fee == Money(fee, "USD")
    assert (in_it.charges[0].price, in_it.phases) == (StandardPrice(Decimal(1)), ())
    assert in_phase(version_with((phase,)), phase).base_fee == (change if isinstance(change, Money) else None)


@given(monotonic_prices(20), decimals(20))
@statable()
def test_a_price_changed_by_nothing_is_the_same_and_by_everything_is_free(price: StandardPrice, units: Decimal) -> None:
    usage = Usage("calls", units)
    sold = Charge("calls", "", "calls", price)
    same, free = (
        Charge("calls", "", "calls", scaled(price, ZERO)),
        Charge("calls", "", "calls", scaled(price, Decimal(-100))),
    )
    try:
        expected = rate(sold, usage, "USD").unrounded_amount
    except BillingError:  # more than an amount can state
        return
    assert rate(same, usage, "USD").unrounded_amount == expected
    assert rate(free, usage, "USD").unrounded_amount == 0


@given(st.integers(1, 10**15).map(lambda number: Decimal(number) / 1000), decimals(10))
def test_twice_the_price_is_twice_the_amount(price: Decimal, units: Decimal) -> None:
    sold = Charge("calls", "", "calls", StandardPrice(price))
    twice = Charge("calls", "", "calls", scaled(StandardPrice(price), Decimal(100)))
    usage = Usage("calls", units)
    assert rate(twice, usage, "USD").unrounded_amount == 2 * rate(sold, usage, "USD").unrounded_amount
