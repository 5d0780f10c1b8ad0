"""The RPCs of ReconciliationService."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import grpc
from google.type import date_pb2

from libs.common.clock import Clock
from libs.common.errors import InvalidArgument, NotFound
from libs.common.idempotency import fingerprint, require_same
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in
from libs.common.worker import Alarm
from services.payments.convert.processors import account_id_in
from services.payments.convert.receipts import date_in
from services.payments.convert.reconciliations import difference_out, reconciliation_out
from services.payments.store import accounts, reconciliations
from weir.payments.v1 import reconciliations_pb2 as pb
from weir.payments.v1.reconciliations_pb2_grpc import ReconciliationServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReconciliationServicer(ReconciliationServiceServicer):
    pool: Pool
    alarm: Alarm
    clock: Clock

    async def CreateReconciliation(
        self, request: pb.CreateReconciliationRequest, context: Context
    ) -> pb.CreateReconciliationResponse:
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        now, tenant_id = self.clock(), caller().tenant_id
        account_id, day = await self._account_id(request.processor_account_id), _day_in(request)
        if day > now.date():
            raise InvalidArgument("DAY_NOT_BEGUN", f"{day} has not begun in UTC", field="day")
        async with self.pool.acquire() as conn, conn.transaction():
            if await reconciliations.insert_request(conn, tenant_id, request_id, request_hash, now):
                asked = await reconciliations.ask(conn, tenant_id, account_id, day, now)
            else:
                recorded = await reconciliations.find_request(conn, tenant_id, request_id)
                require_same(recorded, request_hash, request.request_id)
                found = await reconciliations.find(conn, tenant_id, account_id, day)
                assert found is not None, "days that were asked for are never deleted"
                asked = found
        await self.alarm.ring("reconcile")
        return pb.CreateReconciliationResponse(reconciliation=reconciliation_out(asked))

    async def GetReconciliation(
        self, request: pb.GetReconciliationRequest, context: Context
    ) -> pb.GetReconciliationResponse:
        account_id, day = await self._account_id(request.processor_account_id), _day_in(request)
        async with self.pool.acquire() as conn:
            found = await reconciliations.find(conn, caller().tenant_id, account_id, day)
        if found is None:
            raise NotFound("RECONCILIATION_NOT_FOUND", f"{day} of account {account_id} was not reconciled")
        return pb.GetReconciliationResponse(reconciliation=reconciliation_out(found))

    async def ListReconciliations(
        self, request: pb.ListReconciliationsRequest, context: Context
    ) -> pb.ListReconciliationsResponse:
        page = page_in(request.page_size, request.page_token)
        account_id = await self._account_id(request.processor_account_id)
        before = _key(date.fromisoformat, page.after)
        async with self.pool.acquire() as conn:
            rows = await reconciliations.list_page(conn, caller().tenant_id, account_id, before, page.size + 1)
        shown, token = page.cut(rows, lambda each: each.day.isoformat())
        return pb.ListReconciliationsResponse(reconciliations=map(reconciliation_out, shown), next_page_token=token)

    async def ListReconciliationDifferences(
        self, request: pb.ListReconciliationDifferencesRequest, context: Context
    ) -> pb.ListReconciliationDifferencesResponse:
        page, day = page_in(request.page_size, request.page_token), _day_in(request)
        account_id, after = await self._account_id(request.processor_account_id), _key(int, page.after) or 0
        async with self.pool.acquire() as conn:
            rows = await reconciliations.differences(conn, caller().tenant_id, account_id, day, after, page.size + 1)
        shown, token = page.cut(rows, lambda numbered: str(numbered[0]))
        return pb.ListReconciliationDifferencesResponse(
            differences=(difference_out(each) for _, each in shown), next_page_token=token
        )

    async def _account_id(self, given: str) -> str:
        account_id = account_id_in(given, "processor_account_id")
        async with self.pool.acquire() as conn:
            if await accounts.find(conn, caller().tenant_id, account_id) is None:
                raise NotFound(
                    "PROCESSOR_ACCOUNT_NOT_FOUND",
                    f"there is no processor account {account_id}",
                    processor_account_id=account_id,
                )
        return account_id


class _WithDay(Protocol):
    @property
    def day(self) -> date_pb2.Date: ...

    def HasField(self, name: Literal["day"], /) -> bool: ...


def _day_in(request: _WithDay) -> date:
    return date_in(request.day, request.HasField("day"), "day")


def _key(read: Callable[[str], T], token: str | None) -> T | None:
    """What a page begins after. Raises InvalidArgument for a token of another list."""
    try:
        return None if token is None else read(token)
    except ValueError:
        raise InvalidArgument(
            "PAGE_TOKEN_INVALID", "page_token is not one that an answer contained", field="page_token"
        ) from None
