"""Disputing: what a signed event says of money that is taken back is recorded beside the charge, which stays collected:
what was paid, and what was taken back of it, are two facts. Invoicing hears of the second too.
"""

from dataclasses import dataclass, replace

import structlog

from libs.common.clock import Clock
from libs.common.ids import new_id
from libs.common.money import Money
from libs.common.postgres import Pool
from services.payments.domain.attempt import Attempt
from services.payments.domain.dispute import Dispute
from services.payments.providers.disputes import Told
from services.payments.store import disputes, payments

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Disputing:
    pool: Pool
    clock: Clock

    async def record(self, attempt: Attempt, told: Told) -> None:
        """Old news change nothing."""
        now = self.clock()
        async with self.pool.acquire() as conn, conn.transaction():
            payment = await payments.lock(conn, attempt.tenant_id, attempt.payment_id)
            assert payment is not None, "attempts name their payment by a foreign key"
            known = await disputes.find_of_charge(conn, attempt.tenant_id, attempt.payment_id, attempt.number)
            if known is not None:
                if told.stage > known.stage:
                    moved = replace(known, stage=told.stage)
                    await disputes.move(conn, known, moved, now)
                    await payments.add_disputed(conn, payment, moved.lost_minor - known.lost_minor)
                return
            charged = Money(attempt.minor_units, payment.amount.currency)
            dispute = Dispute(
                tenant_id=attempt.tenant_id,
                id=new_id("dsp", now),
                payment_id=payment.id,
                invoice_id=payment.invoice_id,
                attempt_number=attempt.number,
                amount=charged if told.amount is None else Money.rounded(told.amount, told.currency),
                stage=told.stage,
                code=told.code,
                revision=1,
                create_time=now,
            )
            await disputes.insert(conn, dispute)
            await payments.add_disputed(conn, payment, dispute.lost_minor)
        log.warning("charge disputed", tenant=dispute.tenant_id, payment=dispute.payment_id, state=dispute.state)
