"""CloudEvents over HTTP: whoever sends waits for the answer, so there is nothing to read and to confirm.

One event in structured or binary mode, or a batch of up to 10,000, for the tenant of the API key. The answer says what
became of each event. A CloudEvent that can't be taken is a dead letter as well, for what is wrong may be the mapping.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from libs.common.credentials import Verifier
from libs.common.errors import (
    BillingError,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from libs.common.rpc.status import from_postgres_error
from libs.common.web import BodyTooLarge, body_in, serving
from services.metering.connectors import cloudevents
from services.metering.connectors.config import Config
from services.metering.connectors.delivery import MAX_EVENTS, Delivery
from services.metering.connectors.records import Record, Refusal, Refused, Value

log = structlog.get_logger()

SCOPE = "events:write"
MAX_BODY_BYTES = 32 * 1024 * 1024
BODY_TIMEOUT_SECONDS = 30.0
DRAIN_SECONDS = 20

STATUSES: Mapping[type[BillingError], int] = {
    InvalidArgument: 400,
    Unauthenticated: 401,
    PermissionDenied: 403,
    ResourceExhausted: 429,
    Unavailable: 503,
}


def serving_events(config: Config, delivery: Delivery, verifier: Verifier) -> AbstractAsyncContextManager[int]:
    """Option: listen. The context is the port."""
    listen = config.options.text("listen", "127.0.0.1:7011")
    config.options.end()
    if not listen.rpartition(":")[2].isdecimal():
        raise config.options.wrong("listen", f"is {listen!r}; it must be host:port")
    return serving(listen, Endpoint(delivery, verifier).app(), drain_seconds=DRAIN_SECONDS)


@dataclass(frozen=True, slots=True)
class Endpoint:
    delivery: Delivery
    verifier: Verifier

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/events", self.receive, methods=["POST"]),
                Route("/health", self.health, methods=["GET"]),
            ]
        )

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def receive(self, request: Request) -> Response:
        try:
            tenant_id = self._tenant_id(request)
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                body = await body_in(request, MAX_BODY_BYTES)
            is_batch, events = _events_in(request.headers, body)
        except BillingError as error:
            return _refusal(error)
        except BodyTooLarge:
            return Response(status_code=413)
        except TimeoutError:
            return Response(status_code=408)
        except ClientDisconnect:
            return Response(status_code=400)
        try:
            answer = await self._deliver(tenant_id, events)
        except Exception as error:
            known = error if isinstance(error, BillingError) else from_postgres_error(error)
            if not isinstance(known, ResourceExhausted | Unavailable):
                raise
            return _refusal(known)
        return JSONResponse(answer, status_code=400 if answer["failures"] and not is_batch else 200)

    def _tenant_id(self, request: Request) -> str:
        scheme, _, api_key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not api_key:
            raise Unauthenticated("CREDENTIAL_MISSING", "send the API key as authorization: Bearer weir_…")
        caller = self.verifier.caller(api_key.strip())
        if SCOPE not in caller.scopes:
            raise PermissionDenied("SCOPE_MISSING", f"this API key lacks the scope {SCOPE}", scope=SCOPE)
        return caller.tenant_id

    async def _deliver(self, tenant_id: str, events: Sequence[Value]) -> dict[str, Any]:
        """What became of each event, as the sender is told."""
        records: list[Record] = []
        places: list[int] = []
        failures: dict[int, Refusal] = {}
        for index, event in enumerate(events):
            try:
                records.append(cloudevents.record(event))
                places.append(index)
            except Refused as refused:
                failures[index] = refused.refusal
        delivered = await self.delivery.deliver(tenant_id, records)
        failures |= {places[index]: refusal for index, refusal in delivered.refusals.items()}
        log.info(
            "events received",
            tenant=tenant_id,
            events=len(events),
            accepted=delivered.accepted,
            duplicates=len(delivered.duplicates),
            refused=len(failures),
        )
        return {
            "accepted": delivered.accepted,
            "duplicates": [places[index] for index in delivered.duplicates],
            "failures": [{"index": index, **asdict(refusal)} for index, refusal in sorted(failures.items())],
        }


def _events_in(headers: Mapping[str, str], body: bytes) -> tuple[bool, list[Value]]:
    """Whether it is a batch, and the events. Raises InvalidArgument for a request that is none of the three forms."""
    content_type = headers.get("content-type", "")
    kind = cloudevents.media_type(content_type)
    try:
        if kind == cloudevents.BATCH:
            events = cloudevents.batch(body)
            if len(events) > MAX_EVENTS:
                raise InvalidArgument(
                    "EVENTS_TOO_MANY", f"{len(events)} events in one request, {MAX_EVENTS} at most", field="events"
                )
            return True, events
        if kind == cloudevents.STRUCTURED:
            return False, [cloudevents.structured(body)]
        if "ce-specversion" in headers:
            attributes = cloudevents.attributes_in(headers, "ce-")
            return False, [cloudevents.binary(attributes, content_type, body)]
    except Refused as refused:
        raise InvalidArgument(refused.refusal.reason, refused.refusal.message, field="body") from None
    raise InvalidArgument(
        "CONTENT_TYPE_UNSUPPORTED",
        f"send {cloudevents.STRUCTURED}, {cloudevents.BATCH}, or an event in binary mode with ce- headers",
        field="content-type",
    )


def _refusal(error: BillingError) -> Response:
    headers = {}
    if isinstance(error, ResourceExhausted | Unavailable):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_ms / 1000)))
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    answer = {"reason": error.reason, "message": error.message}
    if isinstance(error, InvalidArgument):
        answer["field"] = error.field
    return JSONResponse({"error": answer}, status_code=STATUSES[type(error)], headers=headers)
