"""The RPCs of ProcessorService. CreateSetupPage calls the processor after its transaction."""

from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import grpc

from libs.common.clock import Clock
from libs.common.errors import FailedPrecondition, NotFound, Unavailable
from libs.common.idempotency import fingerprint, require_same
from libs.common.money import exponent
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from services.payments.convert.processors import account_id_in, account_out, credentials_in, url_in
from services.payments.domain.method import ProcessorAccount
from services.payments.providers import Capability, ProcessorUnavailable, Refused, SetupPage
from services.payments.saving import Saving
from services.payments.store import accounts, pages
from services.payments.vault import Vault
from weir.payments.v1 import processors_pb2 as pb
from weir.payments.v1.processors_pb2_grpc import ProcessorServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class ProcessorServicer(ProcessorServiceServicer):
    pool: Pool
    vault: Vault
    saving: Saving
    clock: Clock

    async def ReplaceProcessorCredentials(
        self, request: pb.ReplaceProcessorCredentialsRequest, context: Context
    ) -> pb.ReplaceProcessorCredentialsResponse:
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        account = await self._account(account_id_in(request.id, "id"))
        sealed = self.vault.seal(credentials_in(request, account.processor))
        async with self.pool.acquire() as conn, conn.transaction():
            if await accounts.insert_update(conn, account, self.clock(), request_id, request_hash):
                await accounts.set_credentials(conn, account, sealed)
            else:
                recorded = await accounts.find_update(conn, account.tenant_id, request_id)
                require_same(recorded, request_hash, request.request_id)
        return pb.ReplaceProcessorCredentialsResponse(processor_account=account_out(account))

    async def CreateSetupPage(self, request: pb.CreateSetupPageRequest, context: Context) -> pb.CreateSetupPageResponse:
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        customer_id = text_in(request.customer_id, "customer_id")
        currency, return_url = _currency_in(request.currency_code), url_in(request.return_url, "return_url")
        account = await self._account(account_id_in(request.processor_account_id, "processor_account_id"))
        async with self.pool.acquire() as conn, conn.transaction():
            if not await pages.insert(conn, account, customer_id, self.clock(), request_id, request_hash):
                recorded = await pages.find_request(conn, account.tenant_id, request_id)
                require_same(recorded, request_hash, request.request_id)
        return pb.CreateSetupPageResponse(url=await self._page(account, customer_id, currency, return_url, request_id))

    async def _page(
        self, account: ProcessorAccount, customer_id: str, currency: str, return_url: str, request_id: UUID
    ) -> str:
        processor = await self.saving.accounts.get(account.tenant_id, account.id)
        if Capability.HOSTED_PAGES not in processor.capabilities:
            raise _refused(Refused("no_hosted_pages", "This processor has no pages of its own."))
        try:
            customer = await self.saving.customer(processor, account.tenant_id, account.id, customer_id)
            if isinstance(customer, Refused):
                raise _refused(customer)
            key = f"setup:{account.tenant_id}:{request_id}"
            page = await processor.setup_page(
                SetupPage(account.tenant_id, customer_id, customer, currency, return_url, key)
            )
        except ProcessorUnavailable as error:
            raise Unavailable(
                "PROCESSOR_UNAVAILABLE", "the processor did not answer; ask again with the same request_id"
            ) from error
        if isinstance(page, Refused):
            raise _refused(page)
        return page.url

    async def _account(self, account_id: str) -> ProcessorAccount:
        async with self.pool.acquire() as conn:
            account = await accounts.find(conn, caller().tenant_id, account_id)
        if account is None:
            raise NotFound(
                "PROCESSOR_ACCOUNT_NOT_FOUND",
                f"there is no processor account {account_id}",
                processor_account_id=account_id,
            )
        return account


def _currency_in(code: str) -> str:
    """Raises InvalidArgument CURRENCY_UNKNOWN."""
    exponent(text_in(code, "currency_code"))
    return code


def _refused(refusal: Refused) -> FailedPrecondition:
    return FailedPrecondition("SETUP_PAGE_REFUSED", refusal.message, code=refusal.code)
