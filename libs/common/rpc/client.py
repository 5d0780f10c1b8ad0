"""Channels to peers: deadlines, one retry policy, the tenant's credential, and typed errors."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import structlog

from libs.common.rpc import MAX_MESSAGE_BYTES, REQUEST_ID
from libs.common.rpc.status import from_rpc_error

DEFAULT_TIMEOUT_SECONDS = 30.0

_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "waitForReady": False,
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)


def channel(target: str, api_key: Callable[[], str] | str | None = None, *, retries: bool = True) -> grpc.aio.Channel:
    """A channel to `target` ("host:port").

    Calls without a timeout get 30 s; UNAVAILABLE is retried up to three times, which is safe because every mutation
    has a request_id; errors arrive as BillingError. `api_key` is sent with each call; per-tenant callers leave it out
    and pass `credential(...)` as the call's metadata.

    A channel for streams should have no `retries`: the sender alone knows what was not answered, and
    gRPC 1.85 now and then aborts the process when it retries a stream that is refused amid a message (it looks like
    grpc/grpc#40283).
    """
    return grpc.aio.insecure_channel(
        target,
        options=[
            ("grpc.service_config", _SERVICE_CONFIG),
            ("grpc.enable_retries", int(retries)),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ],
        interceptors=[_UnaryCalls(api_key), _AnswerStreams(api_key), _StreamCalls(api_key)],
    )


def credential(api_key: str) -> tuple[tuple[str, str], ...]:
    """Metadata that carries `api_key`."""
    return (("authorization", f"Bearer {api_key}"),)


@contextmanager
def typed_errors() -> Iterator[None]:
    """Raises a peer's BillingError in place of its AioRpcError; for streams, where no interceptor can."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if (known := from_rpc_error(error)) is None:
            raise
        raise known from None


class _Credentials:
    def __init__(self, api_key: Callable[[], str] | str | None) -> None:
        self._api_key = api_key

    def _complete(self, details: grpc.aio.ClientCallDetails, timeout: float | None) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        if self._api_key is not None:
            key = self._api_key if isinstance(self._api_key, str) else self._api_key()
            metadata.add("authorization", f"Bearer {key}")
        if request_id := structlog.contextvars.get_contextvars().get("request_id"):
            metadata.add(REQUEST_ID, request_id)
        return grpc.aio.ClientCallDetails(
            details.method, details.timeout or timeout, metadata, details.credentials, details.wait_for_ready
        )


class _UnaryCalls(_Credentials, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        call = await continuation(self._complete(client_call_details, DEFAULT_TIMEOUT_SECONDS), request)
        with typed_errors():
            return await call


class _AnswerStreams(_Credentials, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self._complete(client_call_details, None), request)


class _StreamCalls(_Credentials, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await continuation(self._complete(client_call_details, None), request_iterator)
