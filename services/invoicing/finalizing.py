"""From complete drafts to invoices: what they come to, what pays for them, and their numbers."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from libs.common.clock import Clock
from libs.common.postgres import Conn, Pool
from services.invoicing import store
from services.invoicing.booking import book_issued
from services.invoicing.crediting import use_credits
from services.invoicing.domain.bill import Fee, Totals, totalled
from services.invoicing.domain.coupon import AppliedCoupon, left_of
from services.invoicing.domain.discount import discounted
from services.invoicing.domain.invoice import customer_number, number
from services.invoicing.domain.tax import Taxes
from services.invoicing.paid_fees import record_paid_fees
from services.invoicing.peers import Peers
from services.invoicing.prepaid import PrepaidCredit, draw_all
from services.invoicing.refreshing import refresh_each
from services.invoicing.store.drafts import Due

log = structlog.get_logger()

CHUNK = 500
ASK_AGAIN_DELAY = timedelta(seconds=2)


async def finalize(
    pool: Pool,
    peers: Peers,
    clock: Clock,
    tenant_id: str,
    only: str | None = None,
    prepaid: PrepaidCredit | None = None,
) -> bool:
    """Refresh what has waited, then total, number and freeze a chunk of drafts, or `only` one. True if there may
    be more.


    With `prepaid` credit, those that something is due of are totalled and sealed: `finalize_sealed` is next.
    Pricing is asked for the taxes with no transaction open; a draft that has got another one meanwhile is left for the
    next time.
    """
    now = clock()
    async with pool.acquire() as conn:
        tenant_now = (await store.clocks.get(conn, tenant_id)).now(now)
        stale = await store.refreshes.due(conn, tenant_id, tenant_now, CHUNK, only)
    fresh = bool(stale) and await refresh_each(pool, peers, tenant_id, stale)
    async with pool.acquire() as conn:
        tax_codes = await store.drafts.complete(conn, tenant_id, tenant_now, CHUNK, only)
    if not tax_codes:
        return fresh
    taxes = await peers.pricing.taxes(tenant_id, {code for codes in tax_codes.values() for code in codes})
    async with pool.acquire() as conn, conn.transaction():
        billing_clock = await store.clocks.hold(conn, tenant_id)
        drafts = await store.drafts.take(conn, tenant_id, list(tax_codes), tenant_now)
        fees = await store.lines.fees(conn, tenant_id, {draft.id: draft.currency for draft in drafts})
        drafts = [draft for draft in drafts if taxes.by_code.keys() >= _codes(draft, fees[draft.id])]
        if not drafts:
            return False
        coupons = await store.applied_coupons.lock(conn, tenant_id, [draft.customer_id for draft in drafts])
        totals = _totals(drafts, fees, taxes, coupons)
        await store.drafts.total(conn, tenant_id, drafts, totals)
        nothing = [each.id for each in drafts if each.is_closed_at_zero and not totals[each.id].subtotal.minor_units]
        await store.drafts.close(conn, tenant_id, nothing, billing_clock.now(now))
        drafts = [draft for draft in drafts if draft.id not in nothing]
        if not drafts:
            return True
        owed = [draft.id for draft in drafts if not draft.is_paid]
        await use_credits(conn, tenant_id, owed)
        sealed = await store.prepaid.seal(conn, tenant_id, owed, now) if prepaid else set()
        await _freeze(conn, tenant_id, [draft for draft in drafts if draft.id not in sealed], now)
    return True


async def finalize_sealed(pool: Pool, prepaid: PrepaidCredit, clock: Clock, tenant_id: str) -> bool:
    """Have prepaid credit pay a chunk of sealed drafts, as far as it reaches, then number and freeze them."""
    now = clock()
    async with pool.acquire() as conn:
        tenant_now = (await store.clocks.get(conn, tenant_id)).now(now)
        asked = await store.prepaid.asked(conn, tenant_id, now, CHUNK)
    if not asked:
        return False
    drawn = await draw_all(prepaid, asked)
    async with pool.acquire() as conn, conn.transaction():
        waiting = [each.invoice_id for each in asked if each.invoice_id not in drawn]
        await store.prepaid.ask_again(conn, tenant_id, waiting, now + ASK_AGAIN_DELAY)
        drafts = await store.drafts.take_sealed(conn, tenant_id, list(drawn), tenant_now)
        await store.prepaid.record(conn, tenant_id, {draft.id: drawn[draft.id] for draft in drafts})
        await _freeze(conn, tenant_id, drafts, now)
    return bool(drafts)


async def _freeze(conn: Conn, tenant_id: str, drafts: Sequence[Due], now: datetime) -> None:
    """Number and finalize locked, totalled drafts, in their order."""
    if not drafts:
        return
    billing_clock = await store.clocks.hold(conn, tenant_id)
    sequences = await store.numbers.take_sequences(conn, tenant_id, len(drafts))
    numbered = list(zip(drafts, sequences, await _numbers(conn, tenant_id, drafts, sequences), strict=True))
    await store.drafts.finalize(conn, tenant_id, numbered, billing_clock.now(now), now)
    await book_issued(conn, tenant_id, [draft.id for draft in drafts], now)
    for draft in drafts:
        if draft.is_paid:
            await record_paid_fees(conn, tenant_id, draft.id, now)
    run_ids = [draft.run_id for draft in drafts if draft.run_id]
    await store.runs.count_finalized(conn, tenant_id, run_ids, billing_clock.test_now)
    log.info("finalized", tenant=tenant_id, first=sequences[0], last=sequences[-1])


async def _numbers(conn: Conn, tenant_id: str, drafts: Sequence[Due], sequences: Sequence[int]) -> list[str]:
    """The customer's, the legal entity's or the tenant's."""
    own = [draft.customer_id for draft in drafts if draft.number_prefix]
    counted = await store.numbers.take_customer_sequences(conn, tenant_id, own) if own else {}
    counters = {customer_id: (each, iter(its)) for customer_id, (each, its) in counted.items()}
    codes = [draft.legal_entity_code or "" for draft in drafts if draft.entity_prefix and not draft.number_prefix]
    of_entities = await store.numbers.take_entity_sequences(conn, tenant_id, codes) if codes else {}
    entities = {code: iter(its) for code, its in of_entities.items()}
    found = []
    for draft, sequence in zip(drafts, sequences, strict=True):
        if draft.number_prefix:
            customer_sequence, its_sequences = counters[draft.customer_id]
            found.append(customer_number(draft.number_prefix, customer_sequence, next(its_sequences)))
        elif draft.entity_prefix and draft.legal_entity_code:
            found.append(number(draft.issue_date, next(entities[draft.legal_entity_code]), draft.entity_prefix))
        else:
            found.append(number(draft.issue_date, sequence))
    return found


def _codes(draft: Due, fees: Sequence[Fee]) -> set[str]:
    return {*draft.tax_codes, *(code for fee in fees for code in fee.tax_codes)}


def _totals(
    drafts: Sequence[Due],
    fees: Mapping[str, Sequence[Fee]],
    taxes: Taxes,
    coupons: Mapping[str, Sequence[AppliedCoupon]],
) -> dict[str, Totals]:
    """By draft, in their order: what one uses of its customer's coupons, the next one does not have."""
    left = dict(coupons)
    totals = {}
    for draft in drafts:
        its_coupons = () if draft.is_one_off else left.get(draft.customer_id, ())
        discounts = discounted(fees[draft.id], (each.offer for each in its_coupons), draft.currency)
        if its_coupons:
            left[draft.customer_id] = left_of(its_coupons, discounts)
        default_codes = taxes.of_customer(draft.tax_codes)
        totals[draft.id] = totalled(fees[draft.id], taxes.by_code, draft.currency, discounts, default_codes)
    return totals
