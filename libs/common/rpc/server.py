"""The gRPC server that every service runs: credentials, errors, logs, health, reflection, and an orderly stop."""

import asyncio
import gc
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from libs.common.credentials import Caller, Verifier
from libs.common.errors import BillingError, PermissionDenied, Unauthenticated, Unavailable
from libs.common.rpc import MAX_MESSAGE_BYTES, REQUEST_ID
from libs.common.rpc.status import from_postgres_error, to_status
from weir.common.v1 import authorization_pb2

log = structlog.get_logger()

MIN_BUDGET_SECONDS = 0.01
DRAIN_SECONDS = 20.0
HEALTH_PERIOD_SECONDS = 2.0
LIVENESS = "liveness"
"""A name to the health service: SERVING while the process runs, whatever becomes of its dependencies."""
MAX_CONNECTION_AGE_SECONDS = 300
"""Then a client is asked to reconnect, and so finds servers that have been added. Calls under way are not cut."""

_caller: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """Whose call is being served."""
    return _caller.get()


def required_scopes(service_names: tuple[str, ...]) -> dict[str, str]:
    """Method path to required scope, from the contract. Raises RuntimeError for a method that declares none."""
    pool = descriptor_pool.Default()
    scopes: dict[str, str] = {}
    for service_name in service_names:
        for method in pool.FindServiceByName(service_name).methods:
            scope = method.GetOptions().Extensions[authorization_pb2.required_scope]
            if not scope:
                raise RuntimeError(f"{method.full_name} declares no required_scope")
            scopes[f"/{service_name}/{method.name}"] = scope
    return scopes


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Around every call of the contract: who is it, may it, how did it end."""

    def __init__(self, verifier: Verifier, scopes: dict[str, str]) -> None:
        self._verifier = verifier
        self._scopes = scopes

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        handler = await continuation(handler_call_details)
        scope = self._scopes.get(handler_call_details.method)
        if handler is None or scope is None:  # unknown methods, health and reflection
            return handler
        metadata = dict(handler_call_details.invocation_metadata or ())
        call = _Call(self._verifier, scope, handler_call_details.method, metadata)
        if handler.response_streaming:
            return _wrap_stream(handler, call)
        return _wrap_unary(handler, call)


@dataclass(frozen=True, slots=True)
class _Call:
    verifier: Verifier
    scope: str
    method: str
    metadata: dict[str, str | bytes]

    def admit(self, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        request_id = str(self.metadata.get(REQUEST_ID) or secrets.token_hex(8))
        structlog.contextvars.bind_contextvars(method=self.method, request_id=request_id[:64])
        remaining = context.time_remaining()
        if remaining is not None and remaining < MIN_BUDGET_SECONDS:
            raise Unavailable("DEADLINE_TOO_SHORT", "no time left to do this call", retry_after_ms=100)
        scheme, _, api_key = str(self.metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer" or not api_key:
            raise Unauthenticated("CREDENTIAL_MISSING", "send the API key as metadata: authorization: Bearer weir_…")
        found = self.verifier.caller(api_key)
        structlog.contextvars.bind_contextvars(tenant=found.tenant_id)
        if self.scope not in found.scopes:
            raise PermissionDenied("SCOPE_MISSING", f"this API key lacks the scope {self.scope}", scope=self.scope)
        _caller.set(found)

    async def fail(self, context: "grpc.aio.ServicerContext[Any, Any]", error: Exception) -> None:
        known = error if isinstance(error, BillingError) else from_postgres_error(error)
        if known is None:
            log.exception("call failed", method=self.method)
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")
        else:
            if isinstance(known, Unavailable):
                log.warning("call refused", reason=known.reason, cause=repr(error))
            await context.abort_with_status(rpc_status.to_status(to_status(known)))


def _wrap_unary(handler: "grpc.RpcMethodHandler[Any, Any]", call: _Call) -> "grpc.RpcMethodHandler[Any, Any]":
    behavior: Any = handler.unary_unary

    async def unary(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
        try:
            call.admit(context)
            return await behavior(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 the one place where every error is given its status
            return await call.fail(context, error)

    return grpc.unary_unary_rpc_method_handler(
        unary,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _wrap_stream(handler: "grpc.RpcMethodHandler[Any, Any]", call: _Call) -> "grpc.RpcMethodHandler[Any, Any]":
    """A stream of answers, to one request or to a stream of them."""
    behavior: Any = handler.stream_stream or handler.unary_stream
    wrapped: Any = (
        grpc.stream_stream_rpc_method_handler if handler.stream_stream else grpc.unary_stream_rpc_method_handler
    )

    async def stream(requests: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> AsyncIterator[Any]:
        try:
            call.admit(context)
            async with aclosing(behavior(requests, context)) as responses:
                async for response in responses:
                    yield response
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 as above
            await call.fail(context, error)

    found: grpc.RpcMethodHandler[Any, Any] = wrapped(
        stream,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return found


class _Services:
    """What generated code adds services to. It offers each method twice, the second time to be waited for apart from
    all others: then every call goes through all methods that there are (grpc/grpc#43461). They are served without, too.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, object]) -> None:
        pass


@asynccontextmanager
async def serving(
    listen: str,
    service_names: tuple[str, ...],
    register: Callable[[grpc.aio.Server], None],
    verifier: Verifier,
    ready: Callable[[], Awaitable[None]],
) -> AsyncIterator[int]:
    """Serve the services that `register` adds on `listen` ("127.0.0.1:0" picks a port); yields the port.

    `ready` is asked every two seconds and raises while the service can't do its work; health checks answer by it. On
    leaving, probes are told first, new calls are refused, and calls under way get 20 seconds to finish.
    """
    server = grpc.aio.server(
        interceptors=[CallInterceptor(verifier, required_scopes(service_names))],
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),  # or a second server could listen here unnoticed, and take half of the calls
            ("grpc.max_connection_age_ms", MAX_CONNECTION_AGE_SECONDS * 1000),
        ],
    )
    services: Any = _Services(server)
    register(services)
    health_servicer = health.aio.HealthServicer()
    await health_servicer.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, services)
    reflection.enable_server_reflection((*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME), services)
    port = server.add_insecure_port(listen)
    await _report_health(health_servicer, service_names, ready)
    await server.start()
    watcher = asyncio.create_task(_watch_health(health_servicer, service_names, ready))
    log.info("serving", listen=listen, port=port)
    try:
        yield port
    finally:
        watcher.cancel()
        await health_servicer.enter_graceful_shutdown()
        await server.stop(DRAIN_SECONDS)
        log.info("stopped", listen=listen)


async def until_signal() -> None:
    """Return at SIGTERM or SIGINT.

    What there is when a process begins to serve stays until it ends: no collection of garbage looks at it again, which
    would delay every call under way by some 15 ms.
    """
    gc.collect()
    gc.freeze()
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, signalled.set)
    await signalled.wait()


async def _watch_health(
    servicer: health.aio.HealthServicer, service_names: tuple[str, ...], ready: Callable[[], Awaitable[None]]
) -> None:
    while True:
        await asyncio.sleep(HEALTH_PERIOD_SECONDS)
        await _report_health(servicer, service_names, ready)


async def _report_health(
    servicer: health.aio.HealthServicer, service_names: tuple[str, ...], ready: Callable[[], Awaitable[None]]
) -> None:
    is_ready = True
    try:
        async with asyncio.timeout(HEALTH_PERIOD_SECONDS):
            await ready()
    except Exception as error:  # noqa: BLE001 whatever the reason, the answer is the same
        log.warning("not ready", cause=repr(error))
        is_ready = False
    answer = health_pb2.HealthCheckResponse
    for name in ("", *service_names):
        await servicer.set(name, answer.SERVING if is_ready else answer.NOT_SERVING)
