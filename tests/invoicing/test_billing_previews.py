"""What a billing run would bill is what it then bills."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from libs.common.clock import system_clock
from libs.common.errors import InvalidArgument
from libs.common.postgres import create_pool
from libs.common.rpc.client import channel, typed_errors
from libs.common.wire import timestamp_out
from services.invoicing import main as invoicing
from services.invoicing.domain.invoice import Invoice
from services.invoicing.previewing import RunPreview
from tests.invoicing.test_billing_run import metered
from tests.invoicing.world import TOKENS, Tenant, World, utc
from weir.invoicing.v1 import invoicing_pb2
from weir.invoicing.v1.billing_previews_pb2 import (
    PreviewBillingRunRequest,
    PreviewBillingRunResponse,
    PreviewedFailure,
    PreviewedInvoice,
)
from weir.invoicing.v1.billing_previews_pb2_grpc import BillingPreviewServiceStub
from weir.pricing.v1 import pricing_pb2

if TYPE_CHECKING:
    from weir.invoicing.v1.billing_previews_pb2_grpc import BillingPreviewServiceAsyncStub

GONE = pricing_pb2.Charge(code="gone", meter_code="gone", standard=pricing_pb2.StandardPrice(unit_price="1"))


@dataclass(frozen=True, slots=True)
class Foreseen:
    invoices: Sequence[PreviewedInvoice]
    failures: Sequence[PreviewedFailure]
    sums: PreviewBillingRunResponse


async def foreseen(world: World, until: str = "", customer_id: str = "") -> Foreseen:
    at = timestamp_out(utc(until)) if until else None
    async with channel(f"127.0.0.1:{world.invoicing_port}", world.keys.api_key("acme")) as opened:
        stub: BillingPreviewServiceAsyncStub = BillingPreviewServiceStub(opened)
        request = PreviewBillingRunRequest(as_of_time=at, customer_id=customer_id)
        with typed_errors():
            parts = [part async for part in stub.PreviewBillingRun(request)]
    return Foreseen(
        [each for part in parts for each in part.invoices],
        [each for part in parts for each in part.failures],
        parts[-1],
    )


async def prepared(acme: Tenant) -> None:
    """Three subscriptions of one customer on one invoice, one on its own in euros, and two of another."""
    await metered(acme)
    await acme.plan("euro", TOKENS, currency="EUR")
    await acme.plan("advance", base_fee=999, in_advance=True)
    await acme.start_clock("2023-11-01")
    for customer_id in ("globex", "initech"):
        await acme.customer(customer_id)
    for n in range(3):
        await acme.subscribe(f"globex-{n}", "globex", "llm-api", "2023-11-01", alone=False)
        await acme.events(f"globex-{n}", 700 * n + 1, prefix=f"e{n}")
    await acme.subscribe("globex-euro", "globex", "euro", "2023-11-10")
    await acme.subscribe("initech-0", "initech", "advance", "2023-11-05", alone=False)
    await acme.subscribe("initech-1", "initech", "llm-api", "2023-11-05", alone=False)


def story(invoices: Sequence[PreviewedInvoice] | Sequence[invoicing_pb2.Invoice]) -> list[tuple[object, ...]]:
    return sorted(
        (
            each.customer_id,
            tuple(each.subscription_ids)
            if isinstance(each, PreviewedInvoice)
            else tuple(it.source.subscription_id for it in each.settlements),
            each.line_count if isinstance(each, PreviewedInvoice) else len(each.lines),
            each.subtotal.minor_units,
            each.tax.minor_units,
            each.total.minor_units,
            each.total.currency_code,
        )
        for each in invoices
    )


async def test_a_run_bills_what_its_preview_says_and_the_preview_writes_nothing(world: World, acme: Tenant) -> None:
    await prepared(acme)
    async with world.database() as conn:
        state = "SELECT array_agg(s::text ORDER BY id), (SELECT count(*) FROM invoice) FROM subscription s"
        before = await conn.fetchrow(state)
        said = await foreseen(world, "2024-02-01")
        assert await conn.fetchrow(state) == before

    await acme.advance("2024-02-01")
    await world.bill()
    made = await acme.invoices()
    assert len(made) == 10  # three a month, and the opening of what pays in advance
    assert story(said.invoices) == story(made)
    by_currency = {each.total.currency_code: each for each in said.sums.totals}
    for currency, totals in by_currency.items():
        its = [each for each in made if each.total.currency_code == currency]
        assert (totals.invoice_count, totals.total.minor_units) == (len(its), sum(it.total.minor_units for it in its))
        assert totals.settlement_count == sum(len(it.settlements) for it in its)
    assert set(by_currency) == {"EUR", "USD"}
    assert (await foreseen(world)).invoices == []


async def test_what_can_not_be_billed_is_told_beside_the_rest(world: World, acme: Tenant) -> None:
    await prepared(acme)
    await acme.plan("broken", GONE)
    await acme.subscribe("bad", "initech", "broken", "2023-11-01")
    said = await foreseen(world, "2024-01-01", "initech")
    [failure] = said.failures  # once: what is due later waits for it
    assert (failure.subscription_id, failure.reason) == ("bad", "METER_NOT_FOUND")
    assert (said.sums.failure_count, {each.customer_id for each in said.invoices}) == (1, {"initech"})
    assert len(said.invoices) == 3


async def test_nobody_foresees_more_than_a_year(world: World, acme: Tenant) -> None:
    await acme.start_clock("2023-11-01")
    with pytest.raises(InvalidArgument, match="366 days") as refused:
        await foreseen(world, "2024-12-01")
    assert refused.value.reason == "TIME_OUT_OF_RANGE"


@asynccontextmanager
async def parts(world: World, until: str, chunk_size: int) -> AsyncIterator[list[list[Invoice]]]:
    settings = world.settings
    async with (
        await create_pool(settings.dsn) as pool,
        invoicing.calling_peers(settings, system_clock) as peers,
    ):
        now = utc("2023-11-01")
        preview = RunPreview(pool, peers, "acme", now, utc(until), None, chunk_size)
        yield [drafts async for drafts, _ in preview.parts()]


async def test_a_customer_of_several_chunks_has_one_invoice(world: World, acme: Tenant) -> None:
    await prepared(acme)
    async with parts(world, "2023-12-01", 2) as small, parts(world, "2023-12-01", 500) as large:
        assert len(small) > len(large)
        assert [each for part in small for each in part] == [each for part in large for each in part]
