"""Paying by hand, on a page of a processor's: the attempt and the page are recorded, then the processor is asked for
the page, and asked again with the same key until it has answered. Nobody can pay on a page whose URL nobody was given.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from libs.common.errors import FailedPrecondition, NotFound, Unavailable
from libs.common.idempotency import require_same
from libs.common.ids import new_id
from libs.common.postgres import Conn
from services.payments import providers
from services.payments.collection import Collection
from services.payments.domain.attempt import CLOSED, Attempt, AttemptState, Declined, idempotency_key
from services.payments.domain.page import LIFE, OPENED, PageState, PaymentPage, state_of
from services.payments.domain.payment import Payment, PaymentState
from services.payments.providers import Capability, ProcessorUnavailable, Refused
from services.payments.receiving import under_way
from services.payments.saving import Saving
from services.payments.store import accounts, attempts, methods, payment_pages, payments

PAYABLE = frozenset({PaymentState.FAILED, PaymentState.REQUIRES_ACTION, PaymentState.AWAITING_METHOD})


@dataclass(frozen=True, slots=True)
class Asked:
    """For a page of the account on which the invoice's payment can be paid."""

    tenant_id: str
    invoice_id: str
    processor_account_id: str
    return_url: str
    request_id: UUID
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class Paying:
    collection: Collection
    saving: Saving

    async def opened(self, asked: Asked) -> tuple[PaymentPage, PageState]:
        """Raises NotFound PAYMENT_NOT_FOUND and PROCESSOR_ACCOUNT_NOT_FOUND, FailedPrecondition PAYMENT_NOT_PAYABLE,
        PAYMENT_UNDER_WAY and PAYMENT_PAGE_REFUSED, and Unavailable PROCESSOR_UNAVAILABLE.
        """
        async with self.collection.pool.acquire() as conn:
            recorded = await payment_pages.find_request(conn, asked.tenant_id, asked.request_id)
            payment = await payments.find_of_invoice(conn, asked.tenant_id, asked.invoice_id)
            account = await accounts.find(conn, asked.tenant_id, asked.processor_account_id)
        if recorded is not None:
            require_same(recorded[1], asked.request_hash, str(asked.request_id))
            return await self._shown(recorded[0])
        if account is None:
            raise _account_not_found(asked.processor_account_id)
        _require_payable(payment, asked)
        assert payment is not None, "it can be paid"
        if not await self.collection.close_last(payment):
            raise under_way(payment)
        async with self.collection.pool.acquire() as conn, conn.transaction():
            page = await self._begin(conn, payment, asked)
        return await self._shown(page)

    async def closed(self, page: PaymentPage) -> tuple[PaymentPage, PageState]:
        """Once nobody can pay on it any more, or somebody has. Raises Unavailable PROCESSOR_UNAVAILABLE."""
        attempt = await self._attempt(page)
        if attempt.state is AttemptState.REQUIRES_ACTION:
            try:
                await self.collection.close_page(attempt)
            except ProcessorUnavailable as error:
                raise _unavailable() from error
            attempt = await self._attempt(page)
        return page, state_of(attempt.state)

    async def state(self, page: PaymentPage) -> PageState:
        return state_of((await self._attempt(page)).state)

    async def _begin(self, conn: Conn, payment: Payment, asked: Asked) -> PaymentPage:
        """Its attempt is looked at when the page has ended."""
        now = self.collection.clock()
        current = await payments.lock(conn, payment.tenant_id, payment.id)
        _require_payable(current, asked)
        assert current is not None, "it can be paid"
        last = await attempts.find_last(conn, payment.tenant_id, payment.id)
        if last is not None and last.state not in CLOSED:
            raise under_way(payment)
        await methods.insert_customer(conn, payment.tenant_id, asked.processor_account_id, payment.customer_id, now)
        number = last.number + 1 if last else 1
        page = PaymentPage(
            tenant_id=payment.tenant_id,
            id=new_id("page", now),
            payment_id=payment.id,
            attempt_number=number,
            processor_account_id=asked.processor_account_id,
            return_url=asked.return_url,
            reference="",
            url="",
            expire_time=(now + LIFE).replace(microsecond=0),
            create_time=now,
        )
        await attempts.insert(conn, _attempt(current, page, now), page.expire_time)
        await payment_pages.insert(conn, page, asked.request_id, asked.request_hash)
        return page

    async def _shown(self, page: PaymentPage) -> tuple[PaymentPage, PageState]:
        """With its URL, which the processor is asked for where it is not known yet."""
        attempt = await self._attempt(page)
        if page.url or attempt.state is not AttemptState.REQUIRES_ACTION:
            return page, state_of(attempt.state)
        async with self.collection.pool.acquire() as conn:
            payment = await payments.find(conn, page.tenant_id, page.payment_id)
        assert payment is not None, "pages name their payment by a foreign key"
        answer = await self._asked_for(page, payment, attempt)
        if isinstance(answer, Refused):
            await self.collection.record(attempt, Declined("", answer.code, answer.message))
            raise FailedPrecondition("PAYMENT_PAGE_REFUSED", answer.message, code=answer.code)
        async with self.collection.pool.acquire() as conn:
            await payment_pages.set_answer(conn, page, answer.reference, answer.url)
        return replace(page, reference=answer.reference, url=answer.url), PageState.OPEN

    async def _asked_for(self, page: PaymentPage, payment: Payment, attempt: Attempt) -> providers.Page | Refused:
        processor = await self.saving.accounts.get(page.tenant_id, page.processor_account_id)
        if Capability.HOSTED_PAGES not in processor.capabilities:
            return Refused("no_hosted_pages", "This processor has no pages of its own.")
        try:
            customer = await self.saving.customer(
                processor, page.tenant_id, page.processor_account_id, payment.customer_id
            )
            if isinstance(customer, Refused):
                return customer
            return await processor.payment_page(
                providers.PaymentPage(
                    tenant_id=page.tenant_id,
                    payment_id=page.payment_id,
                    number=page.attempt_number,
                    idempotency_key=attempt.idempotency_key,
                    invoice_number=payment.invoice_number,
                    customer_reference=customer,
                    amount=replace(payment.amount, minor_units=attempt.minor_units),
                    return_url=page.return_url,
                    expire_time=page.expire_time,
                )
            )
        except ProcessorUnavailable as error:
            raise _unavailable() from error

    async def _attempt(self, page: PaymentPage) -> Attempt:
        async with self.collection.pool.acquire() as conn:
            attempt = await attempts.find(conn, page.tenant_id, page.payment_id, page.attempt_number)
        assert attempt is not None, "pages name their attempt by a foreign key"
        return attempt


def _attempt(payment: Payment, page: PaymentPage, now: datetime) -> Attempt:
    return Attempt(
        tenant_id=page.tenant_id,
        payment_id=page.payment_id,
        number=page.attempt_number,
        payment_method_id="",
        processor_account_id=page.processor_account_id,
        state=AttemptState.REQUIRES_ACTION,
        idempotency_key=idempotency_key(page.tenant_id, page.payment_id, page.attempt_number),
        reference="",
        decline_code=OPENED,
        decline_message="The customer pays on a page.",
        tries=0,
        create_time=now,
        minor_units=payment.due.minor_units,
    )


def _require_payable(payment: Payment | None, asked: Asked) -> None:
    if payment is None:
        raise NotFound("PAYMENT_NOT_FOUND", f"invoice {asked.invoice_id} has no payment", invoice_id=asked.invoice_id)
    if payment.state not in PAYABLE:
        raise FailedPrecondition(
            "PAYMENT_NOT_PAYABLE",
            f"the payment is {payment.state}; one that has failed, needs the customer or has no method can be paid so",
            state=payment.state,
        )


def _account_not_found(account_id: str) -> NotFound:
    return NotFound(
        "PROCESSOR_ACCOUNT_NOT_FOUND", f"there is no processor account {account_id}", processor_account_id=account_id
    )


def _unavailable() -> Unavailable:
    return Unavailable("PROCESSOR_UNAVAILABLE", "the processor did not answer; ask again with the same request_id")
