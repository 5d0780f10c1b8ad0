"""The RPCs of PaymentPageService."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from libs.common.errors import NotFound
from libs.common.idempotency import fingerprint
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in, timestamp_out
from services.payments.convert.processors import account_id_in, url_in
from services.payments.domain.page import PageState, PaymentPage
from services.payments.paying import Asked, Paying
from services.payments.store import payment_pages
from weir.payments.v1 import payment_pages_pb2 as pb
from weir.payments.v1.payment_pages_pb2_grpc import PaymentPageServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class PaymentPageServicer(PaymentPageServiceServicer):
    paying: Paying

    async def CreatePaymentPage(
        self, request: pb.CreatePaymentPageRequest, context: Context
    ) -> pb.CreatePaymentPageResponse:
        asked = Asked(
            tenant_id=caller().tenant_id,
            invoice_id=text_in(request.invoice_id, "invoice_id"),
            processor_account_id=account_id_in(request.processor_account_id, "processor_account_id"),
            return_url=url_in(request.return_url, "return_url"),
            request_id=request_id_in(request.request_id),
            request_hash=fingerprint(request),
        )
        return pb.CreatePaymentPageResponse(payment_page=_page_out(*await self.paying.opened(asked)))

    async def GetPaymentPage(self, request: pb.GetPaymentPageRequest, context: Context) -> pb.GetPaymentPageResponse:
        page = await self._page(request.id)
        return pb.GetPaymentPageResponse(payment_page=_page_out(page, await self.paying.state(page)))

    async def ClosePaymentPage(
        self, request: pb.ClosePaymentPageRequest, context: Context
    ) -> pb.ClosePaymentPageResponse:
        closed = await self.paying.closed(await self._page(request.id))
        return pb.ClosePaymentPageResponse(payment_page=_page_out(*closed))

    async def _page(self, value: str) -> PaymentPage:
        page_id = text_in(value, "id")
        async with self.paying.collection.pool.acquire() as conn:
            page = await payment_pages.find(conn, caller().tenant_id, page_id)
        if page is None:
            raise NotFound("PAYMENT_PAGE_NOT_FOUND", f"there is no page {page_id}", payment_page_id=page_id)
        return page


def _page_out(page: PaymentPage, state: PageState) -> pb.PaymentPage:
    return pb.PaymentPage(
        id=page.id,
        payment_id=page.payment_id,
        attempt_number=page.attempt_number,
        processor_account_id=page.processor_account_id,
        url=page.url,
        expire_time=timestamp_out(page.expire_time),
        state=pb.PaymentPage.State.Value(f"STATE_{state}"),
    )
