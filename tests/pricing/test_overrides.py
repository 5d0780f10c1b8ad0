"""What a plan costs one subscription."""

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from services.pricing.convert.overrides import override_out, plan_changes_in
from services.pricing.domain import overrides
from services.pricing.domain.commitments import MinimumCommitment
from services.pricing.domain.plans import PlanVersion
from tests.pricing.conftest import NOW, Client, Dial
from tests.pricing.requests import create_plan, create_tax, create_version, rate
from tests.pricing.strategies import money, price_changes, tax_codes, thresholds, versions
from weir.common.v1.money_pb2 import Money
from weir.pricing.v1 import overrides_pb2, pricing_pb2
from weir.pricing.v1.overrides_pb2 import PlanChanges
from weir.pricing.v1.overrides_pb2_grpc import OverrideServiceStub

if TYPE_CHECKING:
    from weir.pricing.v1.overrides_pb2_grpc import OverrideServiceAsyncStub

FIRST = 1_000_000_001


@pytest.fixture
def service(dial: Dial) -> "OverrideServiceAsyncStub":
    return OverrideServiceStub(dial("acme"))


def dollars(minor_units: int, currency: str = "USD") -> Money:
    return Money(currency_code=currency, minor_units=minor_units)


def override(changes: PlanChanges | None = None, base_version: int = 1) -> overrides_pb2.CreatePlanOverrideRequest:
    return overrides_pb2.CreatePlanOverrideRequest(
        request_id=str(uuid4()),
        plan_code="llm-api",
        base_version=base_version,
        subscription_id="globex-1",
        changes=changes or PlanChanges(base_fee=dollars(500)),
    )


async def overrides_of(service: "OverrideServiceAsyncStub", size: int = 0) -> list[list[int]]:
    pages: list[list[int]] = []
    token = ""
    while token or not pages:
        request = overrides_pb2.ListPlanOverridesRequest(plan_code="llm-api", page_size=size, page_token=token)
        page = await service.ListPlanOverrides(request)
        pages.append([version.version for version in page.versions])
        token = page.next_page_token
    return pages


async def test_an_override_is_its_base_with_changes(service: "OverrideServiceAsyncStub", pricing: Client) -> None:
    await pricing.CreateTax(create_tax("vat"))
    base = (await pricing.CreatePlan(create_plan())).plan.latest_version
    price = pricing_pb2.ChargePrice(standard=pricing_pb2.StandardPrice(unit_price="0.000005"))
    changes = PlanChanges(
        base_fee=dollars(0),
        prices=[
            pricing_pb2.PriceChange(charge_code="output_tokens", price=price),
            pricing_pb2.PriceChange(charge_code="requests", percent="-50"),
        ],
        minimum_commitment=pricing_pb2.MinimumCommitment(amount=dollars(100)),
        usage_thresholds=overrides_pb2.UsageThresholds(),
        taxes=overrides_pb2.TaxCodes(codes=["vat"]),
        trial_days=7,
    )
    made = (await service.CreatePlanOverride(override(changes))).version
    assert (made.version, made.base_version, made.subscription_id) == (FIRST, 1, "globex-1")
    base.charges[2].standard.unit_price = "0.000005"
    base.charges[0].package.package_price = "0.5"
    base.base_fee.minor_units = 0
    base.minimum_commitment.amount.CopyFrom(dollars(100))
    base.tax_codes.append("vat")
    base.trial_days = 7
    for field in ("version", "base_version", "subscription_id"):
        setattr(base, field, getattr(made, field))
    assert made == base
    found = await pricing.GetPlanVersion(pricing_pb2.GetPlanVersionRequest(plan_code="llm-api", version=FIRST))
    assert found.version == made
    rated = await pricing.Rate(rate(version=FIRST, output_tokens="1000000"))
    assert rated.charges[2].amount.minor_units == 500


async def test_what_an_override_leaves_out_stays(service: "OverrideServiceAsyncStub", pricing: Client) -> None:
    request = create_plan()
    request.version.minimum_commitment.amount.CopyFrom(dollars(100))
    request.version.usage_thresholds.add(amount=dollars(5))
    request.version.trial_days = 3
    base = (await pricing.CreatePlan(request)).plan.latest_version
    made = (await service.CreatePlanOverride(override(PlanChanges()))).version
    for field in ("version", "base_version", "subscription_id"):
        made.ClearField(field)  # type: ignore[arg-type]
    base.ClearField("version")
    assert made == base
    none = PlanChanges(without_minimum_commitment=True, usage_thresholds=overrides_pb2.UsageThresholds(), trial_days=0)
    without = (await service.CreatePlanOverride(override(none))).version
    assert (without.HasField("minimum_commitment"), len(without.usage_thresholds), without.trial_days) == (False, 0, 0)


@given(versions, st.data())
def test_what_is_told_of_an_override_makes_it_again(base: PlanVersion, data: st.DataObject) -> None:
    currency = base.currency
    minimum = data.draw(st.none() | st.builds(MinimumCommitment, money(currency, 1), st.just(""), st.just(())))
    changes = overrides.PlanChanges(
        base_fee=data.draw(st.none() | money(currency)),
        prices=data.draw(price_changes(base.charges)),
        minimum_commitment=minimum,
        without_minimum=minimum is None and data.draw(st.booleans()),
        usage_thresholds=data.draw(st.none() | thresholds(currency)),
        tax_codes=data.draw(st.none() | tax_codes),
        trial_days=data.draw(st.none() | st.integers(0, 30)),
    )
    made = overrides.overridden(base, changes, FIRST, "globex-1", NOW)
    told = override_out(base, made)
    try:
        again = plan_changes_in(told.changes, currency)
    except InvalidArgument as error:  # a price of 38 digits, changed by percent
        if error.reason != "DECIMAL_MALFORMED":
            raise
        reject()
    assert overrides.overridden(base, again, FIRST, "globex-1", NOW) == made
    assert overrides.changes_of(base, made) == again


async def test_the_newest_override_of_each_subscription_is_listed_and_what_is_checked_is_not_made(
    service: "OverrideServiceAsyncStub", pricing: Client, dial: Dial
) -> None:
    await pricing.CreatePlan(create_plan())
    for subscription_id, minor_units in (("b 1", 1), ("a", 2), ("b 1", 3), ("c", 4)):
        request = override(PlanChanges(base_fee=dollars(minor_units)))
        request.subscription_id = subscription_id
        last = await service.CreatePlanOverride(request)
    request = override(PlanChanges(taxes=overrides_pb2.TaxCodes(codes=["vat"])))
    request.validate_only = True
    checked = await service.CreatePlanOverride(request)
    assert (checked.version.version, checked.override.changes.taxes.codes) == (FIRST + 4, ["vat"])
    found: list[overrides_pb2.PlanOverride] = []
    token = ""
    while token or not found:
        page = await service.ListOverrides(overrides_pb2.ListOverridesRequest(page_size=2, page_token=token))
        found += page.overrides
        token = page.next_page_token
    assert [(each.subscription_id, each.version - FIRST, each.changes.base_fee.minor_units) for each in found] == [
        ("a", 1, 2),
        ("b 1", 2, 3),
        ("c", 3, 4),
    ]
    assert found[2] == last.override
    rival = OverrideServiceStub(dial("rival"))
    assert not (await rival.ListOverrides(overrides_pb2.ListOverridesRequest())).overrides


async def test_an_override_is_never_the_newest_of_its_plan(
    service: "OverrideServiceAsyncStub", pricing: Client
) -> None:
    await pricing.CreatePlan(create_plan())
    for _ in range(3):
        await service.CreatePlanOverride(override())
    plan = (await pricing.GetPlan(pricing_pb2.GetPlanRequest(code="llm-api"))).plan
    assert (plan.latest_version.version, plan.version_count) == (1, 1)
    assert (await pricing.CreatePlanVersion(create_version())).version.version == 2
    listed = await pricing.ListPlanVersions(pricing_pb2.ListPlanVersionsRequest(plan_code="llm-api"))
    assert [version.version for version in listed.versions] == [2, 1]
    assert await overrides_of(service, 2) == [[FIRST + 2, FIRST + 1], [FIRST]]


async def test_a_repeated_override_is_answered_as_it_was_the_first_time(
    service: "OverrideServiceAsyncStub", pricing: Client
) -> None:
    await pricing.CreatePlan(create_plan())
    request = override()
    answers = await asyncio.gather(*(service.CreatePlanOverride(request) for _ in range(6)))
    assert all(answer == answers[0] for answer in answers)
    assert await overrides_of(service) == [[FIRST]]
    request.subscription_id = "other"
    with pytest.raises(Conflict) as refused:
        await service.CreatePlanOverride(request)
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_a_request_id_of_a_version_is_not_one_of_an_override(
    service: "OverrideServiceAsyncStub", pricing: Client
) -> None:
    made = create_plan()
    await pricing.CreatePlan(made)
    request = override()
    request.request_id = made.request_id
    with pytest.raises(Conflict):
        await service.CreatePlanOverride(request)
    assert await overrides_of(service) == [[]]


async def test_overrides_made_at_once_are_numbered_apart(service: "OverrideServiceAsyncStub", pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    made = await asyncio.gather(*(service.CreatePlanOverride(override()) for _ in range(6)))
    assert sorted(each.version.version for each in made) == list(range(FIRST, FIRST + 6))


async def test_an_archived_version_can_be_overridden_a_draft_or_an_override_cannot(
    service: "OverrideServiceAsyncStub", pricing: Client
) -> None:
    await pricing.CreatePlan(create_plan())
    draft = create_version()
    draft.as_draft = True
    await pricing.CreatePlanVersion(draft)
    archive = pricing_pb2.ArchivePlanVersionRequest(request_id=str(uuid4()), plan_code="llm-api", version=1)
    await pricing.ArchivePlanVersion(archive)
    await service.CreatePlanOverride(override())
    for base_version in (2, FIRST):
        with pytest.raises(FailedPrecondition) as refused:
            await service.CreatePlanOverride(override(base_version=base_version))
        assert (refused.value.reason, refused.value.metadata["field"]) == ("PLAN_VERSION_NOT_SOLD", "base_version")


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        (PlanChanges(base_fee=dollars(1, "EUR")), "CURRENCY_MISMATCH", "changes.base_fee.currency_code"),
        (PlanChanges(base_fee=dollars(-1)), "AMOUNT_NEGATIVE", "changes.base_fee.minor_units"),
        (PlanChanges(trial_days=-1), "TRIAL_OUT_OF_RANGE", "changes.trial_days"),
        (
            PlanChanges(prices=[pricing_pb2.PriceChange(charge_code="other", percent="1")]),
            "CHARGE_NOT_FOUND",
            "changes.prices[0].charge_code",
        ),
    ],
)
async def test_a_wrong_change_is_named_and_nothing_is_made(
    service: "OverrideServiceAsyncStub", pricing: Client, changes: PlanChanges, reason: str, field: str
) -> None:
    await pricing.CreatePlan(create_plan())
    with pytest.raises(InvalidArgument) as refused:
        await service.CreatePlanOverride(override(changes))
    assert (refused.value.reason, refused.value.field) == (reason, field)
    assert await overrides_of(service) == [[]]


async def test_a_tax_or_a_plan_that_is_not_there_is_not_found(
    service: "OverrideServiceAsyncStub", pricing: Client, dial: Dial
) -> None:
    await pricing.CreatePlan(create_plan())
    with pytest.raises(NotFound) as refused:
        await service.CreatePlanOverride(override(PlanChanges(taxes=overrides_pb2.TaxCodes(codes=["vat"]))))
    assert refused.value.reason == "TAX_NOT_FOUND"
    rival = OverrideServiceStub(dial("rival"))
    for call in (
        rival.CreatePlanOverride(override()),
        rival.ListPlanOverrides(overrides_pb2.ListPlanOverridesRequest(plan_code="llm-api")),
    ):
        with pytest.raises(NotFound) as refused:
            await call
        assert refused.value.reason == "PLAN_NOT_FOUND"
