"""From complete drafts to invoices: what they come to, what pays for them, and their numbers."""

from collections.abc import Mapping, Sequence

import structlog

from libs.common.clock import Clock
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.crediting import use_credits
from services.invoicing.domain.bill import Fee, Totals, totalled
from services.invoicing.domain.coupon import AppliedCoupon, left_of
from services.invoicing.domain.discount import discounted
from services.invoicing.domain.invoice import number
from services.invoicing.domain.tax import Taxes
from services.invoicing.peers import Peers
from services.invoicing.store.drafts import Draft

log = structlog.get_logger()

CHUNK = 500


async def finalize(pool: Pool, peers: Peers, clock: Clock, tenant_id: str) -> bool:
    """Total, number and freeze a chunk of drafts. True if there may be more.

    Pricing is asked for the taxes with no transaction open; a draft that has got another one meanwhile is left for the
    next time.
    """
    now = clock()
    async with pool.acquire() as conn:
        tax_codes = await store.drafts.complete(conn, tenant_id, CHUNK)
    if not tax_codes:
        return False
    taxes = await peers.taxes(tenant_id, {code for codes in tax_codes.values() for code in codes})
    async with pool.acquire() as conn, conn.transaction():
        billing_clock = await store.clocks.hold(conn, tenant_id)
        drafts = await store.drafts.take(conn, tenant_id, list(tax_codes))
        fees = await store.lines.fees(conn, tenant_id, {draft.id: draft.currency for draft in drafts})
        drafts = [draft for draft in drafts if taxes.by_code.keys() >= _codes(draft, fees[draft.id])]
        if not drafts:
            return False
        coupons = await store.applied_coupons.lock(conn, tenant_id, [draft.customer_id for draft in drafts])
        await store.drafts.total(conn, tenant_id, _totals(drafts, fees, taxes, coupons))
        await use_credits(conn, tenant_id, [draft.id for draft in drafts])
        sequences = await store.drafts.take_sequences(conn, tenant_id, len(drafts))
        numbered = [
            (draft.id, sequence, number(draft.issue_date, sequence))
            for draft, sequence in zip(drafts, sequences, strict=True)
        ]
        await store.drafts.finalize(conn, tenant_id, numbered, billing_clock.now(now), now)
        await store.runs.count_finalized(conn, tenant_id, [draft.run_id for draft in drafts], billing_clock.test_now)
    log.info("finalized", tenant=tenant_id, first=numbered[0][2], last=numbered[-1][2])
    return True


def _codes(draft: Draft, fees: Sequence[Fee]) -> set[str]:
    return {*draft.tax_codes, *(code for fee in fees for code in fee.tax_codes)}


def _totals(
    drafts: Sequence[Draft],
    fees: Mapping[str, Sequence[Fee]],
    taxes: Taxes,
    coupons: Mapping[str, Sequence[AppliedCoupon]],
) -> dict[str, Totals]:
    """By draft, in their order: what one uses of its customer's coupons, the next one does not have."""
    left = dict(coupons)
    totals = {}
    for draft in drafts:
        its_coupons = left.get(draft.customer_id, ())
        discounts = discounted(fees[draft.id], (each.offer for each in its_coupons), draft.currency)
        left[draft.customer_id] = left_of(its_coupons, discounts)
        default_codes = taxes.of_customer(draft.tax_codes)
        totals[draft.id] = totalled(fees[draft.id], taxes.by_code, draft.currency, discounts, default_codes)
    return totals
