"""What a billing run would bill: the run without its claims and its writes."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.billing import Billed, Refused, bill_all, drafts_of
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.settlement import Portion, by_invoice
from services.invoicing.domain.subscription import Subscription
from services.invoicing.late_billing import History
from services.invoicing.peers import Peers

CHUNK = 500


@dataclass(frozen=True, slots=True)
class RunPreview:
    """`now` is the tenant's; a run up to `as_of` would bill what is due by then, of one customer if `customer_id` says
    so.
    """

    pool: Pool
    peers: Peers
    tenant_id: str
    now: datetime
    as_of: datetime
    customer_id: str | None
    chunk_size: int = CHUNK

    async def parts(self) -> AsyncGenerator[tuple[list[Invoice], list[Refused]], None]:
        """The drafts by customer and due time, with their customer's coupons and credits, and what can't be billed. A
        customer's are in one part, however many chunks they take.
        """
        waiting: list[Portion] = []
        async for chunk in self._chunks():
            portions, refused = await self._bill(chunk)
            waiting += portions
            last = chunk[-1].customer_id
            whole = [each for each in waiting if each.customer_id != last]
            waiting = [each for each in waiting if each.customer_id == last]
            yield await self._drafts(whole), refused
        yield await self._drafts(waiting), []

    async def _chunks(self) -> AsyncIterator[Sequence[Subscription]]:
        """What is due, by customer."""
        after = ("", "")
        while True:
            async with self.pool.acquire() as conn:
                chunk = await store.subscriptions.due_by_customer(
                    conn, self.tenant_id, self.as_of, self.customer_id, after, self.chunk_size
                )
            if not chunk:
                return
            yield chunk
            after = chunk[-1].customer_id, chunk[-1].id

    async def _bill(self, due: Sequence[Subscription]) -> tuple[list[Portion], list[Refused]]:
        """Each period in turn, as it follows from the one before: what can't be billed keeps the later ones waiting."""
        portions: list[Portion] = []
        refused: list[Refused] = []
        while due:
            billed, more = await bill_all(self.peers, self.tenant_id, due, History(self.pool, self.tenant_id))
            portions += (each.portion for each in billed if each.makes_invoice)
            refused += more
            due = [after for each in billed if (after := _saved(each)).due_time <= self.as_of]
        return portions, refused

    async def _drafts(self, portions: Sequence[Portion]) -> list[Invoice]:
        """Of whole customers."""
        ordered = sorted(portions, key=_place)
        customers = {key: list(group) for key, group in groupby(ordered, key=lambda each: each.customer_id)}
        async with self.pool.acquire() as conn:
            standings = {each: await store.standings.of_customer(conn, self.tenant_id, each) for each in customers}
        codes = {code for each in portions for line in each.lines for code in line.tax_codes}
        codes |= {code for each in standings.values() for code in each.tax_codes}
        taxes = await self.peers.pricing.taxes(self.tenant_id, codes)
        return [
            draft
            for customer_id, its_portions in customers.items()
            for draft in drafts_of(by_invoice(its_portions), taxes, standings[customer_id], self.now)
        ]


def _saved(billed: Billed) -> Subscription:
    after = billed.due.billed()
    return replace(after, billed_watermark=billed.watermark or after.billed_watermark)


def _place(portion: Portion) -> tuple[str, str, int]:
    source = portion.settlement.source
    return portion.customer_id, source.subscription_id, source.phase_number
