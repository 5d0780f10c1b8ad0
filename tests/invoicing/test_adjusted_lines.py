"""Lines of drafts are made into others, stay so when the draft is refreshed, and are computed again like all."""

import asyncio

import pytest

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from libs.common.money import Money
from libs.common.wire import money_out
from tests.invoicing.test_drafts import CALLS, finalize, refresh, require_reproduced, walk
from tests.invoicing.world import MONTHLY, TOKENS, Tenant, World, new_request_id
from weir.invoicing.v1 import drafts_pb2, invoicing_pb2
from weir.invoicing.v1.invoicing_pb2 import Invoice
from weir.pricing.v1 import pricing_pb2


def adjustment(invoice: Invoice, line_code: str, **fields: object) -> drafts_pb2.AdjustLineRequest:
    return drafts_pb2.AdjustLineRequest(
        request_id=new_request_id(),
        invoice_id=invoice.id,
        line_code=line_code,
        **fields,  # type: ignore[arg-type]
    )


async def adjust(acme: Tenant, invoice: Invoice, line_code: str, **fields: object) -> Invoice:
    return (await acme.drafts.AdjustLine(adjustment(invoice, line_code, **fields))).invoice


async def amounts(acme: Tenant) -> dict[str, tuple[str, int]]:
    [invoice] = await acme.invoices()
    return {line.code: (line.description, line.amount.minor_units) for line in invoice.lines}


@pytest.fixture
async def draft(world: World, acme: Tenant) -> Invoice:
    """129 dollars, 3 calls for a dollar each, and 3,000 tokens."""
    await acme.meter("requests")
    await acme.meter("tokens", "tokens")
    await acme.plan("api", CALLS, TOKENS, base_fee=12900)
    await acme.start_clock("2023-11-01")
    await acme.customer("globex", grace_period_days=10)
    await acme.subscribe("globex-1", "globex", "api", "2023-11-01")
    await acme.events("globex-1", 3)
    await walk(world, acme, "2023-12-05")
    [made] = await acme.invoices()
    return made


async def test_units_at_an_amount_with_another_name_survive_refresh_and_finalization(
    world: World, acme: Tenant, draft: Invoice
) -> None:
    changed = await adjust(acme, draft, "calls", units="3", unit_amount="150.00", description="test-name-25")
    assert changed.total.minor_units == 57900 + 1
    await acme.events("globex-1", 5, prefix="late")
    assert (await refresh(acme, draft.id)).total.minor_units == 57900 + 2
    final = await finalize(acme, draft.id)
    assert (final.state, final.total.minor_units) == (Invoice.STATE_FINALIZED, 57900 + 2)
    line = next(each for each in final.lines if each.code == "calls")
    assert (line.description, line.units, line.unit_amount, line.is_adjusted) == ("test-name-25", "3", "150", True)
    await require_reproduced(acme)
    request = invoicing_pb2.ExplainLineRequest(invoice_id=final.id, line_code="calls")
    explained = await acme.invoicing.ExplainLine(request)
    assert explained.reproduced
    assert "Somebody adjusted the line to 3 units before the invoice was finalized." in explained.sentences
    assert "3 units at 150 each are billed." in explained.sentences


async def test_units_alone_are_priced_by_the_plan_and_a_base_fee_is_taken_so_many_times(
    world: World, acme: Tenant, draft: Invoice
) -> None:
    await adjust(acme, draft, "tokens", units="3000000")
    await adjust(acme, draft, "base", units="2.5")
    await adjust(acme, draft, "calls", description="Calls of November")
    await acme.events("globex-1", 2, prefix="late")
    await refresh(acme, draft.id)
    assert await amounts(acme) == {
        "base": ("Base fee", 32250),
        "calls": ("Calls of November", 500),
        "tokens": ("Tokens", 650),
    }
    await finalize(acme, draft.id)
    await require_reproduced(acme)
    for code in ("base", "tokens", "calls"):
        request = invoicing_pb2.ExplainLineRequest(invoice_id=draft.id, line_code=code)
        assert (await acme.invoicing.ExplainLine(request)).reproduced


async def test_a_charge_that_was_not_used_has_a_line_once_it_has_units(world: World, acme: Tenant) -> None:
    await acme.meter("requests")
    await acme.meter("tokens", "tokens")
    await acme.plan("api", CALLS, TOKENS, base_fee=12900)
    await acme.start_clock("2023-11-01")
    await acme.customer("globex", grace_period_days=10)
    await acme.subscribe("globex-1", "globex", "api", "2023-11-01")
    await walk(world, acme, "2023-12-05")
    [draft] = await acme.invoices()
    assert [line.code for line in draft.lines] == ["base"]
    for wrong in ({"description": "Words"}, {"units": "1", "line_number": 2}):
        with pytest.raises(NotFound) as missing:
            await adjust(acme, draft, "tokens", **wrong)
        assert missing.value.reason == "LINE_NOT_FOUND"
    await asyncio.gather(
        *(adjust(acme, draft, "calls", units="3", unit_amount="150") for _ in range(2)),
        adjust(acme, draft, "tokens", units="3000000"),
    )
    expected = {"base": ("Base fee", 12900), "calls": ("Calls", 45000), "tokens": ("Tokens", 650)}
    assert await amounts(acme) == expected
    assert (await refresh(acme, draft.id)).line_count == 3
    assert await amounts(acme) == expected
    request = drafts_pb2.ResetLineRequest(request_id=new_request_id(), invoice_id=draft.id, line_code="calls")
    assert (await acme.drafts.ResetLine(request)).invoice.line_count == 2
    final = await finalize(acme, draft.id)
    assert final.total.minor_units == 12900 + 650
    await require_reproduced(acme)
    explain = invoicing_pb2.ExplainLineRequest(invoice_id=final.id, line_code="tokens")
    assert (await acme.invoicing.ExplainLine(explain)).reproduced


async def test_units_told_by_the_code_of_a_charge_are_usage_and_not_its_minimum(world: World, acme: Tenant) -> None:
    """The minimum of 50 dollars has a line of its own, alone or beside the usage."""
    calls = pricing_pb2.Charge()
    calls.CopyFrom(CALLS)
    calls.minimum_amount = "50"
    await acme.meter("requests")
    await acme.plan("api", calls, base_fee=None)
    await acme.start_clock("2023-11-01")
    await acme.customer("globex", grace_period_days=10)
    await acme.subscribe("globex-1", "globex", "api", "2023-11-01")
    await walk(world, acme, "2023-12-05")
    [draft] = await acme.invoices()
    [minimum] = draft.lines
    assert (minimum.code, minimum.amount.minor_units) == ("calls", 5000)
    for units, amount in (("3", 300), ("4", 400)):
        changed = await adjust(acme, draft, "calls", units=units)
        assert [(each.units, each.amount.minor_units) for each in changed.lines] == [("", 5000), (units, amount)]
    changed = await adjust(acme, draft, "calls", line_number=1, units="1", unit_amount="46")
    assert changed.total.minor_units == 5000
    request = drafts_pb2.ResetLineRequest(request_id=new_request_id(), invoice_id=draft.id, line_code="calls")
    assert [each.amount.minor_units for each in (await acme.drafts.ResetLine(request)).invoice.lines] == [4600]
    await finalize(acme, draft.id)
    await require_reproduced(acme)


async def test_a_reset_line_is_what_it_would_have_been(acme: Tenant, draft: Invoice) -> None:
    before = await amounts(acme)
    await adjust(acme, draft, "calls", units="0", unit_amount="1")
    await adjust(acme, draft, "base", description="Fee")
    assert (await amounts(acme))["calls"] == ("Calls", 0)
    for code in ("calls", "base"):
        request = drafts_pb2.ResetLineRequest(request_id=new_request_id(), invoice_id=draft.id, line_code=code)
        await acme.drafts.ResetLine(request)
        await acme.drafts.ResetLine(request)
    assert await amounts(acme) == before


async def test_changes_at_once_are_all_made_and_a_repeated_one_is_made_once(acme: Tenant, draft: Invoice) -> None:
    requests = [
        adjustment(draft, "calls", units="7", unit_amount="1"),
        adjustment(draft, "base", units="1", unit_amount="10"),
        adjustment(draft, "tokens", description="Words"),
    ]
    await asyncio.gather(*(acme.drafts.AdjustLine(each) for each in requests * 2), refresh(acme, draft.id))
    expected = {"base": ("Base fee", 1000), "calls": ("Calls", 700), "tokens": ("Words", 1)}
    assert await amounts(acme) == expected
    await adjust(acme, draft, "calls", units="8", unit_amount="1")
    await acme.drafts.AdjustLine(requests[0])
    assert (await amounts(acme))["calls"] == ("Calls", 800)
    requests[0].units = "9"
    with pytest.raises(Conflict) as refused:
        await acme.drafts.AdjustLine(requests[0])
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_what_can_not_be_adjusted_is_refused_by_name(acme: Tenant, draft: Invoice) -> None:
    for fields, field in (({}, "units"), ({"unit_amount": "1"}, "units"), ({"units": "-1"}, "units")):
        with pytest.raises(InvalidArgument) as wrong:
            await adjust(acme, draft, "calls", **fields)
        assert wrong.value.field == field
    with pytest.raises(NotFound) as missing:
        await adjust(acme, draft, "nothing", units="1")
    assert missing.value.reason == "LINE_NOT_FOUND"
    with pytest.raises(FailedPrecondition) as refused:
        await adjust(acme, draft, "base", units="9" * 26, unit_amount="1")
    assert refused.value.reason == "AMOUNT_TOO_LARGE"
    await finalize(acme, draft.id)
    with pytest.raises(FailedPrecondition) as refused:
        await adjust(acme, draft, "calls", units="1")
    assert refused.value.reason == "INVOICE_NOT_DRAFT"


async def test_what_is_missing_to_a_commitment_follows_refreshes_and_adjustments(world: World, acme: Tenant) -> None:
    await acme.meter("requests")
    version = pricing_pb2.PlanVersion(
        currency_code="USD",
        billing_interval=MONTHLY,
        base_fee=money_out(Money(2000, "USD")),
        charges=[CALLS],
        phases=[pricing_pb2.Phase(to_month=1, base_fee_percent="-50")],
        minimum_commitment=pricing_pb2.MinimumCommitment(amount=money_out(Money(10000, "USD"))),
    )
    plan = pricing_pb2.Plan(code="committed", name="committed")
    request = pricing_pb2.CreatePlanRequest(request_id=new_request_id(), plan=plan, version=version)
    await acme.pricing.CreatePlan(request)
    await acme.start_clock("2023-11-01")
    await acme.customer("globex", grace_period_days=10)
    await acme.subscribe("globex-1", "globex", "committed", "2023-11-01")
    await acme.events("globex-1", 3)
    await walk(world, acme, "2023-12-05")
    [draft] = await acme.invoices()
    first = {"base": 1000, "calls": 300, "minimum_commitment": 8700}
    assert {line.code: line.amount.minor_units for line in draft.lines} == first
    await acme.events("globex-1", 2, prefix="late")
    refreshed = await refresh(acme, draft.id)
    assert {line.code: line.amount.minor_units for line in refreshed.lines} == first | {
        "calls": 500,
        "minimum_commitment": 8500,
    }
    changed = await adjust(acme, draft, "calls", units="40")
    assert {line.code: line.amount.minor_units for line in changed.lines} == first | {
        "calls": 4000,
        "minimum_commitment": 5000,
    }
    await adjust(acme, draft, "minimum_commitment", description="What you promised")
    final = await finalize(acme, draft.id)
    assert final.total.minor_units == 10000
    assert "What you promised" in {line.description for line in final.lines}
    await require_reproduced(acme)
