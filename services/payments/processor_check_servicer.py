"""The RPC of ProcessorCheckService, which calls the processor."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import grpc

from libs.common.errors import NotFound, Unavailable
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import timestamp_out
from services.payments.accounts import Accounts
from services.payments.convert.processors import account_id_in, account_out
from services.payments.domain.method import ProcessorAccount
from services.payments.providers import ProcessorUnavailable
from services.payments.store import accounts, events
from weir.payments.v1 import processor_checks_pb2 as pb
from weir.payments.v1.processor_checks_pb2_grpc import ProcessorCheckServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class ProcessorCheckServicer(ProcessorCheckServiceServicer):
    pool: Pool
    accounts: Accounts

    async def GetProcessorCheck(
        self, request: pb.GetProcessorCheckRequest, context: Context
    ) -> pb.GetProcessorCheckResponse:
        account_id, tenant_id = account_id_in(request.processor_account_id, "processor_account_id"), caller().tenant_id
        async with self.pool.acquire() as conn:
            account = await accounts.find(conn, tenant_id, account_id)
            last = await events.last_time(conn, tenant_id, account_id)
        if account is None:
            raise NotFound(
                "PROCESSOR_ACCOUNT_NOT_FOUND",
                f"there is no processor account {account_id}",
                processor_account_id=account_id,
            )
        path, refused = account_out(account).webhook_path, account.refused_webhook_time
        try:
            processor = await self.accounts.get(tenant_id, account_id)
            problems = [*await processor.check(path), *_problems(account, last)]
        except ProcessorUnavailable as error:
            raise Unavailable("PROCESSOR_UNAVAILABLE", f"the processor gave no usable answer: {error}") from None
        return pb.GetProcessorCheckResponse(
            problems=problems,
            webhook_path=path,
            last_event_time=timestamp_out(last) if last else None,
            refused_webhook_count=account.refused_webhook_count,
            refused_webhook_time=timestamp_out(refused) if refused else None,
        )


def _problems(account: ProcessorAccount, last_event_time: datetime | None) -> Iterator[str]:
    refused = account.refused_webhook_time
    if refused is not None and (last_event_time is None or refused > last_event_time):
        yield "The last webhook was refused: none of the account's secrets made its signature."
    elif last_event_time is None:
        yield "No webhook has come yet."
