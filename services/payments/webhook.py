"""The HTTP endpoint that processors send webhooks to: verify, store the raw body, answer; the worker does the rest."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from libs.common.clock import Clock
from libs.common.credentials import TENANT_ID
from libs.common.postgres import Pool
from libs.common.rpc.status import from_postgres_error
from libs.common.worker import Alarm
from services.payments.accounts import Accounts
from services.payments.convert import ACCOUNT_ID
from services.payments.domain.webhook import WebhookEvent
from services.payments.providers import SignatureRefused
from services.payments.store import accounts as account_rows
from services.payments.store import events

log = structlog.get_logger()

MAX_BODY_BYTES = 1024 * 1024
BODY_TIMEOUT_SECONDS = 10.0
DRAIN_SECONDS = 10


class BodyTooLarge(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Endpoint:
    pool: Pool
    accounts: Accounts
    alarm: Alarm
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
                body = await _body(request)
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
            received = processor.event(body, request.headers)
        except SignatureRefused as error:
            log.warning("webhook refused", tenant=tenant_id, account=account_id, bytes=len(body), cause=str(error))
            return Response(status_code=400)
        event = WebhookEvent(
            tenant_id=tenant_id,
            processor_account_id=account_id,
            id=received.id,
            type=received.type,
            reference=received.reference,
            tries=0,
            receive_time=self.clock(),
        )
        async with self.pool.acquire() as conn:
            is_new = await events.insert(conn, event, body, received.error)
        log.info("webhook received", tenant=tenant_id, webhook=event.id, type=event.type, new=is_new)
        return Response(status_code=200, background=BackgroundTask(self.alarm.ring, "events"))


async def _or_503(answer: Awaitable[Response]) -> Response:
    """The answer, or 503 while the database is away: whoever asked asks again."""
    try:
        return await answer
    except Exception as error:
        if from_postgres_error(error) is None:
            raise
        log.warning("database not available", cause=repr(error))
        return Response(status_code=503)


async def _body(request: Request) -> bytes:
    """Raises BodyTooLarge without reading on, and ClientDisconnect."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > MAX_BODY_BYTES:
        raise BodyTooLarge
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
    return bytes(body)


class _Server(uvicorn.Server):
    """Leaves signals to the process, which has more to stop than this."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(listen: str, app: Starlette) -> AsyncIterator[int]:
    """Serve `app` on `listen` ("127.0.0.1:0" picks a port); yields the port."""
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host.strip("[]"), int(port)), family=family)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, ws="none", lifespan="off", timeout_graceful_shutdown=DRAIN_SECONDS
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()
