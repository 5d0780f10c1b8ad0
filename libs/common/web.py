"""HTTP endpoints beside gRPC: a Starlette application on a port, and bodies of bounded size."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Within which the head of a request must have come, from when its connection was made or the last answer given."""


class BodyTooLarge(Exception):
    pass


async def body_in(request: Request, most_bytes: int) -> bytes:
    """Raises BodyTooLarge without reading on, and Starlette's ClientDisconnect."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > most_bytes:
        raise BodyTooLarge
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise BodyTooLarge
    return bytes(body)


class _Connection(H11Protocol):
    """Uvicorn's, closed when it holds out on a head: uvicorn would wait for ever for one that comes byte by byte."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def handle_events(self) -> None:
        super().handle_events()
        if self._deadline is not None and self.cycle is not None and not self.cycle.response_complete:
            self._deadline.cancel()
            self._deadline = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)


class _Server(uvicorn.Server):
    """Leaves signals to the process, which has more to stop than this."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(listen: str, app: Starlette, *, drain_seconds: int) -> AsyncIterator[int]:
    """Serve `app` on `listen` ("127.0.0.1:0" picks a port); yields the port. On leaving, requests may still end."""
    listener = _listen(listen)
    config = uvicorn.Config(
        app,
        http=_Connection,
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=drain_seconds,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()


def _listen(listen: str) -> socket.socket:
    """Made as TCP by name: asyncio sets TCP_NODELAY only then, without which each answer takes 40 ms longer."""
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host.strip("[]"), int(port)))
    listener.listen(1024)
    return listener
