"""Saving a payment method at its processor: first the row, then the customer and the method there, then the result.

Each step has an idempotency key made of the row, so whoever goes on after a crash or a timeout repeats it exactly.
"""

import hashlib
from dataclasses import dataclass
from uuid import NAMESPACE_OID, uuid5

from libs.common.clock import Clock
from libs.common.ids import new_id
from libs.common.postgres import Pool
from services.payments.accounts import Accounts
from services.payments.domain.method import MethodState, PaymentMethod
from services.payments.domain.payment import delay
from services.payments.domain.webhook import WebhookEvent
from services.payments.pace import Pace
from services.payments.providers import Processor, ProcessorUnavailable, Refused, SavedMethod
from services.payments.store import methods, payments


@dataclass(frozen=True, slots=True)
class Saving:
    pool: Pool
    accounts: Accounts
    clock: Clock
    pace: Pace

    async def finish(self, method: PaymentMethod) -> PaymentMethod:
        """Bring a method that is SAVING to its end, and payments that waited for it on their way.

        Raises ProcessorUnavailable; then the method is due again later.
        """
        result = await self._save(await self.accounts.get(method.tenant_id, method.processor_account_id), method)
        async with self.pool.acquire() as conn, conn.transaction():
            await methods.lock_customer(conn, method.tenant_id, method.customer_id)
            if isinstance(result, SavedMethod):
                await methods.activate(conn, method, result.reference, result.label, result.kind)
                await payments.wake(conn, method.tenant_id, method.customer_id, self.clock())
            else:
                await methods.refuse(conn, method, result.code, result.message)
            return await methods.find(conn, method.tenant_id, method.id)

    async def adopt(self, event: WebhookEvent) -> None:
        """Record a method that a customer has saved on a page, once; the worker attaches it."""
        now = self.clock()
        async with self.pool.acquire() as conn, conn.transaction():
            customer_id = await methods.find_customer_of(
                conn, event.tenant_id, event.processor_account_id, event.customer_reference
            )
            if customer_id is None:
                return
            await methods.lock_customer(conn, event.tenant_id, customer_id)
            if await methods.has_token(conn, event.tenant_id, event.processor_account_id, event.reference):
                return
            method = PaymentMethod(
                tenant_id=event.tenant_id,
                id=new_id("pm", now),
                customer_id=customer_id,
                processor_account_id=event.processor_account_id,
                processor_token=event.reference,
                state=MethodState.SAVING,
                reference="",
                label="",
                refusal_code="",
                refusal_message="",
                key_generation=0,
                tries=0,
                create_time=now,
            )
            name = f"{event.processor_account_id} {event.reference}"
            await methods.insert(conn, method, now, uuid5(NAMESPACE_OID, name), hashlib.sha256(name.encode()).digest())

    async def _save(self, processor: Processor, method: PaymentMethod) -> SavedMethod | Refused:
        whose = method.tenant_id, method.processor_account_id, method.customer_id
        try:
            customer = await self.customer(processor, *whose)
        except ProcessorUnavailable:
            await self._postpone(method, next_key=False)
            raise
        if isinstance(customer, Refused):
            return customer
        key = f"method:{method.tenant_id}:{method.id}:{method.key_generation}"
        try:
            return await processor.attach(customer, method.processor_token, key)
        except ProcessorUnavailable as error:
            await self._postpone(method, next_key=error.repeats)
            raise

    async def customer(self, processor: Processor, tenant_id: str, account_id: str, customer_id: str) -> str | Refused:
        """The processor's id of a customer who has a row, made there if need be. Raises ProcessorUnavailable."""
        whose = tenant_id, account_id, customer_id
        async with self.pool.acquire() as conn:
            customer = await methods.find_customer(conn, *whose)
        if customer.reference:
            return customer.reference
        try:
            reference = await processor.create_customer(
                tenant_id, customer_id, _customer_key(*whose, customer.key_generation)
            )
        except ProcessorUnavailable as error:
            if error.repeats:
                async with self.pool.acquire() as conn:
                    await methods.next_customer_key(conn, *whose, customer.key_generation)
            raise
        if isinstance(reference, Refused):
            return reference
        async with self.pool.acquire() as conn:
            return await methods.set_customer_reference(conn, *whose, reference)

    async def _postpone(self, method: PaymentMethod, *, next_key: bool) -> None:
        due_time = self.clock() + delay(self.pace.method, method.tries)
        async with self.pool.acquire() as conn:
            await methods.postpone(conn, method, due_time, next_key=next_key)


def _customer_key(tenant_id: str, account_id: str, customer_id: str, generation: int) -> str:
    """A customer's id may have any characters, and too many of them for a key."""
    identity = hashlib.sha256("\0".join((tenant_id, account_id, customer_id)).encode()).hexdigest()
    return f"customer:{identity}:{generation}"
