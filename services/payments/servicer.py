"""The RPCs: decode, one transaction, encode. SavePaymentMethod calls the processor after its transaction."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import Conflict, FailedPrecondition, NotFound, Unavailable
from libs.common.idempotency import fingerprint, require_same
from libs.common.ids import new_id
from libs.common.paging import page_in
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from libs.common.worker import Alarm
from services.payments import convert
from services.payments.asking import ask
from services.payments.collection import Collection
from services.payments.convert.collections import asked_in, asked_payment_in
from services.payments.convert.processors import account_id_in, account_in, account_out, credentials_in
from services.payments.domain.attempt import Attempt
from services.payments.domain.method import MethodState, PaymentMethod
from services.payments.domain.payment import RETRIABLE, Payment, PaymentState
from services.payments.providers import ProcessorUnavailable
from services.payments.saving import Saving
from services.payments.store import accounts, attempts, methods, payments
from services.payments.vault import Vault
from weir.payments.v1 import payments_pb2 as pb
from weir.payments.v1.payments_pb2_grpc import PaymentsServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class PaymentsServicer(PaymentsServiceServicer):
    pool: Pool
    vault: Vault
    saving: Saving
    collection: Collection
    alarm: Alarm
    clock: Clock

    async def CreateProcessorAccount(
        self, request: pb.CreateProcessorAccountRequest, context: Context
    ) -> pb.CreateProcessorAccountResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        account = account_in(request.processor_account, request.HasField("processor_account"), tenant_id, self.clock())
        sealed = self.vault.seal(credentials_in(request, account.processor))
        async with self.pool.acquire() as conn, conn.transaction():
            if not await accounts.insert(conn, account, sealed, request_id, request_hash):
                if (recorded := await accounts.find_request(conn, tenant_id, request_id)) is None:
                    raise Conflict(
                        "PROCESSOR_ACCOUNT_EXISTS",
                        f"there is a processor account {account.id} already",
                        processor_account_id=account.id,
                    )
                account, recorded_hash = recorded
                require_same(recorded_hash, request_hash, request.request_id)
        return pb.CreateProcessorAccountResponse(processor_account=account_out(account))

    async def GetProcessorAccount(
        self, request: pb.GetProcessorAccountRequest, context: Context
    ) -> pb.GetProcessorAccountResponse:
        account_id = account_id_in(request.id, "id")
        async with self.pool.acquire() as conn:
            account = await accounts.find(conn, caller().tenant_id, account_id)
        if account is None:
            raise _account_not_found(account_id)
        return pb.GetProcessorAccountResponse(processor_account=account_out(account))

    async def ListProcessorAccounts(
        self, request: pb.ListProcessorAccountsRequest, context: Context
    ) -> pb.ListProcessorAccountsResponse:
        page = page_in(request.page_size, request.page_token)
        async with self.pool.acquire() as conn:
            rows = await accounts.list_page(conn, caller().tenant_id, page)
        shown, token = page.cut(rows, lambda account: account.id)
        return pb.ListProcessorAccountsResponse(processor_accounts=map(account_out, shown), next_page_token=token)

    async def SavePaymentMethod(
        self, request: pb.SavePaymentMethodRequest, context: Context
    ) -> pb.SavePaymentMethodResponse:
        method = await self._record_method(request)
        if method.state is MethodState.SAVING:
            try:
                method = await self.saving.finish(method)
            except ProcessorUnavailable as error:
                raise Unavailable(
                    "PROCESSOR_UNAVAILABLE",
                    "the processor did not answer; the method is still being saved, ask again with the same request_id",
                ) from error
        if method.state is MethodState.REFUSED:
            raise FailedPrecondition("PAYMENT_METHOD_REFUSED", method.refusal_message, code=method.refusal_code)
        await self.alarm.ring("charge")
        return pb.SavePaymentMethodResponse(payment_method=convert.method_out(method))

    async def ListPaymentMethods(
        self, request: pb.ListPaymentMethodsRequest, context: Context
    ) -> pb.ListPaymentMethodsResponse:
        customer_id = text_in(request.customer_id, "customer_id")
        page = page_in(request.page_size, request.page_token)
        async with self.pool.acquire() as conn:
            rows = await methods.list_page(conn, caller().tenant_id, customer_id, page)
        shown, token = page.cut(rows, lambda method: method.id)
        return pb.ListPaymentMethodsResponse(payment_methods=map(convert.method_out, shown), next_page_token=token)

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: Context) -> pb.CreatePaymentResponse:
        tenant_id, now = caller().tenant_id, self.clock()
        asked = asked_in(request, tenant_id, now)
        async with self.pool.acquire() as conn, conn.transaction():
            [payment] = await ask(conn, tenant_id, [asked], now)
            if isinstance(payment, Conflict):
                raise payment
            answer = await _payment_out(conn, payment)
        if payment.state is PaymentState.PENDING:
            await self.alarm.ring("charge")
        return pb.CreatePaymentResponse(payment=answer)

    async def CancelPayment(self, request: pb.CancelPaymentRequest, context: Context) -> pb.CancelPaymentResponse:
        asked = asked_payment_in(request, caller().tenant_id, self.clock(), PaymentState.CANCELED)
        if (payment := await self.collection.cancel(asked)) is None:
            raise FailedPrecondition(
                "PAYMENT_UNDER_WAY",
                f"invoice {asked.invoice_id} is being collected, or is paid",
                invoice_id=asked.invoice_id,
            )
        async with self.pool.acquire() as conn:
            return pb.CancelPaymentResponse(payment=await _payment_out(conn, payment))

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Context) -> pb.GetPaymentResponse:
        payment_id = text_in(request.id, "id")
        async with self.pool.acquire() as conn:
            payment = await payments.find(conn, caller().tenant_id, payment_id)
            if payment is None:
                raise _payment_not_found(payment_id)
            return pb.GetPaymentResponse(payment=await _payment_out(conn, payment))

    async def ListPayments(self, request: pb.ListPaymentsRequest, context: Context) -> pb.ListPaymentsResponse:
        tenant_id = caller().tenant_id
        page = page_in(request.page_size, request.page_token)
        invoice_id = text_in(request.invoice_id, "invoice_id", required=False)
        customer_id = text_in(request.customer_id, "customer_id", required=False)
        async with self.pool.acquire() as conn:
            rows = await payments.list_page(conn, tenant_id, page, invoice_id, customer_id)
            shown, token = page.cut(rows, lambda payment: payment.id)
            made = await attempts.list_of(conn, tenant_id, [payment.id for payment in shown])
        by_payment: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in made:
            by_payment[attempt.payment_id].append(attempt)
        return pb.ListPaymentsResponse(
            payments=(convert.payment_out(payment, by_payment[payment.id]) for payment in shown), next_page_token=token
        )

    async def RetryPayment(self, request: pb.RetryPaymentRequest, context: Context) -> pb.RetryPaymentResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        payment_id = text_in(request.id, "id")
        now = self.clock()
        async with self.pool.acquire() as conn, conn.transaction():
            payment = await payments.lock(conn, tenant_id, payment_id)
            if payment is None:
                raise _payment_not_found(payment_id)
            if await payments.insert_retry(conn, tenant_id, payment_id, now, request_id, request_hash):
                if payment.state not in RETRIABLE:
                    raise FailedPrecondition(
                        "PAYMENT_NOT_RETRIABLE",
                        f"the payment is {payment.state}; one that has failed or needs the customer can be retried",
                        state=payment.state,
                    )
                await payments.set_state(conn, payment, PaymentState.PENDING, now, due_time=now)
            else:
                recorded_hash = await payments.find_retry(conn, tenant_id, request_id)
                require_same(recorded_hash, request_hash, request.request_id)
            payment = await payments.lock(conn, tenant_id, payment_id)
            assert payment is not None, "it is locked"
            answer = await _payment_out(conn, payment)
        await self.alarm.ring("charge")
        return pb.RetryPaymentResponse(payment=answer)

    async def _record_method(self, request: pb.SavePaymentMethodRequest) -> PaymentMethod:
        """The row that the request made, now or the first time."""
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        now = self.clock()
        method = PaymentMethod(
            tenant_id=caller().tenant_id,
            id=new_id("pm", now),
            customer_id=text_in(request.customer_id, "customer_id"),
            processor_account_id=account_id_in(request.processor_account_id, "processor_account_id"),
            processor_token=convert.token_in(request.processor_token, "processor_token"),
            state=MethodState.SAVING,
            reference="",
            label="",
            refusal_code="",
            refusal_message="",
            key_generation=0,
            tries=0,
            create_time=now,
        )
        async with self.pool.acquire() as conn, conn.transaction():
            if await accounts.find(conn, method.tenant_id, method.processor_account_id) is None:
                raise _account_not_found(method.processor_account_id)
            if await methods.insert(conn, method, now + self.saving.pace.lease, request_id, request_hash):
                return method
            recorded = await methods.find_request(conn, method.tenant_id, request_id)
            assert recorded is not None, "the request_id is what was taken"
            require_same(recorded[1], request_hash, request.request_id)
            return recorded[0]


async def _payment_out(conn: Conn, payment: Payment) -> pb.Payment:
    return convert.payment_out(payment, await attempts.list_of(conn, payment.tenant_id, [payment.id]))


def _account_not_found(account_id: str) -> NotFound:
    return NotFound(
        "PROCESSOR_ACCOUNT_NOT_FOUND", f"there is no processor account {account_id}", processor_account_id=account_id
    )


def _payment_not_found(payment_id: str) -> NotFound:
    return NotFound("PAYMENT_NOT_FOUND", f"there is no payment {payment_id}", payment_id=payment_id)
