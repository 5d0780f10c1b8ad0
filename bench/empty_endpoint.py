"""`python -m bench.empty_endpoint HOST:PORT`: reads what it is sent and answers 200: what HTTP costs."""

import asyncio
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from libs.common import web


async def _answer(request: Request) -> Response:
    await web.body_in(request, 1024 * 1024)
    return Response(status_code=200)


async def serve(listen: str) -> None:
    app = Starlette(routes=[Route("/webhooks/{tenant_id}/{account_id}", _answer, methods=["POST"])])
    async with web.serving(listen, app, drain_seconds=1):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
