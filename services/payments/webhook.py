"""The HTTP endpoint that processors send webhooks to: verify, store the raw body, answer; the worker does the rest."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from libs.common.clock import Clock
from libs.common.credentials import TENANT_ID
from libs.common.postgres import Pool
from libs.common.rpc.status import from_postgres_error
from libs.common.web import BodyTooLarge, body_in
from services.payments.accounts import Accounts
from services.payments.convert import ACCOUNT_ID
from services.payments.intake import Intake, IntakeFull
from services.payments.providers import SignatureRefused
from services.payments.store import accounts as account_rows

log = structlog.get_logger()

MAX_BODY_BYTES = 1024 * 1024
BODY_TIMEOUT_SECONDS = 10.0
DRAIN_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Endpoint:
    pool: Pool
    accounts: Accounts
    intake: Intake
    clock: Clock

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/webhooks/{tenant_id}/{account_id}", self.receive, methods=["POST"]),
                Route("/health", self.health, methods=["GET"]),
            ]
        )

    async def receive(self, request: Request) -> Response:
        tenant_id, account_id = request.path_params["tenant_id"], request.path_params["account_id"]
        if not TENANT_ID.fullmatch(tenant_id) or not ACCOUNT_ID.fullmatch(account_id):
            return Response(status_code=404)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                body = await body_in(request, MAX_BODY_BYTES)
        except BodyTooLarge:
            return Response(status_code=413)
        except TimeoutError:
            return Response(status_code=408)
        except ClientDisconnect:
            return Response(status_code=400)
        return await _or_503(self._store(tenant_id, account_id, body, request))

    async def health(self, request: Request) -> Response:
        return await _or_503(self._check())

    async def _check(self) -> Response:
        async with self.pool.acquire() as conn:
            await account_rows.check(conn)
        return JSONResponse({"status": "ok"})

    async def _store(self, tenant_id: str, account_id: str, body: bytes, request: Request) -> Response:
        processor = await self.accounts.find(tenant_id, account_id)
        if processor is None:
            return Response(status_code=404)
        try:
            received = processor.events(body, request.headers)
        except SignatureRefused as error:
            log.warning("webhook refused", tenant=tenant_id, account=account_id, bytes=len(body), cause=str(error))
            async with self.pool.acquire() as conn:
                await account_rows.count_refused(conn, tenant_id, account_id, self.clock())
            return Response(status_code=400)
        try:
            await self.intake.record(tenant_id, account_id, received)
        except IntakeFull:
            log.warning("webhook refused", tenant=tenant_id, account=account_id, cause="too many are waiting")
            return Response(status_code=503)
        return Response(status_code=200)


async def _or_503(answer: Awaitable[Response]) -> Response:
    """The answer, or 503 while the database is away: whoever asked asks again."""
    try:
        return await answer
    except Exception as error:
        if from_postgres_error(error) is None:
            raise
        log.warning("database not available", cause=repr(error))
        return Response(status_code=503)
