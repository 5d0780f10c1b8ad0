"""Closing a connection without an answer, which ASGI has no words for."""

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

EXTENSION = "sandbox.drop_connection"


class DroppableConnection(H11Protocol):
    """Uvicorn's HTTP/1.1 connection; hands the application a function that cuts it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        serve: Any = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[EXTENSION] = transport.abort
            await serve(scope, receive, send)

        self.app = app


class DroppedResponse(Response):
    """No answer: the client sees the connection closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"][EXTENSION]()
        while (await receive())["type"] != "http.disconnect":
            pass
