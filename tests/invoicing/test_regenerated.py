"""A voided invoice is made again, once, by whoever comes first. Through gRPC."""

import asyncio

import asyncpg
import pytest

from libs.common.errors import BillingError, FailedPrecondition
from tests.invoicing.test_adjusted_lines import adjust
from tests.invoicing.test_drafts import CALLS, finalize, refresh, require_reproduced, walk
from tests.invoicing.world import Tenant, World, new_request_id
from weir.invoicing.v1 import drafts_pb2, invoicing_pb2
from weir.invoicing.v1.invoicing_pb2 import Invoice


async def void(acme: Tenant, invoice: Invoice) -> Invoice:
    request = invoicing_pb2.VoidInvoiceRequest(request_id=new_request_id(), id=invoice.id)
    return (await acme.invoicing.VoidInvoice(request)).invoice


async def regenerate(acme: Tenant, invoice: Invoice, *, as_draft: bool = False) -> Invoice:
    request = drafts_pb2.RegenerateInvoiceRequest(request_id=new_request_id(), id=invoice.id, as_draft=as_draft)
    return (await acme.drafts.RegenerateInvoice(request)).invoice


@pytest.fixture
async def voided(world: World, acme: Tenant) -> Invoice:
    """November, with 3 calls."""
    await acme.meter("requests")
    await acme.plan("api", CALLS)
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    await acme.subscribe("globex-1", "globex", "api", "2023-11-01")
    await acme.events("globex-1", 3)
    await walk(world, acme, "2023-12-05")
    [made] = await acme.invoices()
    return await void(acme, made)


async def test_a_voided_invoice_is_made_again_with_its_lines_and_a_number_of_its_own(
    world: World, acme: Tenant, voided: Invoice
) -> None:
    await acme.events("globex-1", 2, prefix="late")
    request = drafts_pb2.RegenerateInvoiceRequest(request_id=new_request_id(), id=voided.id)
    made = (await acme.drafts.RegenerateInvoice(request)).invoice
    assert (made.state, made.number, made.regenerated_from_id) == (
        Invoice.STATE_FINALIZED,
        "INV-202312-000002",
        voided.id,
    )
    assert (made.lines, made.settlements, made.total) == (voided.lines, voided.settlements, voided.total)
    assert (made.issue_date.month, made.issue_date.day) == (12, 5)
    assert (await acme.drafts.RegenerateInvoice(request)).invoice == made
    await walk(world, acme, "2024-01-05")
    *_, january = await acme.invoices()
    assert january.total.minor_units == 2200  # with what came late
    await require_reproduced(acme)


async def test_one_of_many_makes_it_again_and_the_new_one_may_be_voided_and_made_again(
    acme: Tenant, voided: Invoice
) -> None:
    results = await asyncio.gather(*(regenerate(acme, voided) for _ in range(4)), return_exceptions=True)
    refused = [each for each in results if isinstance(each, BaseException)]
    assert len(refused) == 3
    assert {each.reason for each in refused if isinstance(each, BillingError)} == {"INVOICE_REGENERATED"}
    [made] = [each for each in results if isinstance(each, Invoice)]
    with pytest.raises(FailedPrecondition) as not_voided:
        await regenerate(acme, made)
    assert not_voided.value.reason == "INVOICE_NOT_VOIDED"
    again = await regenerate(acme, await void(acme, made))
    assert (again.number, again.regenerated_from_id) == ("INV-202312-000003", made.id)
    await require_reproduced(acme)


async def test_made_again_as_a_draft_it_is_adjusted_and_takes_in_nothing_that_came_since(
    world: World, acme: Tenant, voided: Invoice
) -> None:
    await acme.events("globex-1", 2, prefix="late")
    draft = await regenerate(acme, voided, as_draft=True)
    assert (draft.state, draft.total.minor_units) == (Invoice.STATE_DRAFT, 2300)
    with pytest.raises(FailedPrecondition) as refused:
        await refresh(acme, draft.id)
    assert refused.value.reason == "INVOICE_REGENERATED"
    await adjust(acme, draft, "base", units="1", unit_amount="15")
    await walk(world, acme, "2024-01-05")
    final = await finalize(acme, draft.id)
    assert (final.state, final.total.minor_units) == (Invoice.STATE_FINALIZED, 1800)
    january = (await acme.invoices())[1:]
    assert sum(each.total.minor_units for each in january if each.id != final.id) == 2200
    await require_reproduced(acme)


async def test_postgres_itself_lets_one_invoice_have_a_settlement(world: World, acme: Tenant, voided: Invoice) -> None:
    made = await regenerate(acme, voided)
    async with world.database() as conn:
        for statement in (
            f"UPDATE invoice_settlement SET is_void = true WHERE invoice_id = '{made.id}'",
            f"UPDATE invoice_settlement SET is_void = false WHERE invoice_id = '{voided.id}'",
            "UPDATE invoice_settlement SET plan_version = 2",
            "DELETE FROM invoice_settlement",
        ):
            with pytest.raises(asyncpg.RestrictViolationError):
                await conn.execute(statement)
