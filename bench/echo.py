"""`python -m bench.echo LISTEN`: a server that answers at once, whatever it is sent: what a call of gRPC costs."""

import asyncio
import sys
from typing import Any

import grpc

from weir.metering.v1 import metering_pb2

_ANSWER = metering_pb2.IngestEventsResponse(accepted_count=1).SerializeToString()


async def _answer(_request: bytes, _context: "grpc.aio.ServicerContext[Any, Any]") -> bytes:
    return _ANSWER


async def serve(listen: str) -> None:
    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(_answer)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("weir.metering.v1.MeteringService", {"IngestEvents": handler}),)
    )
    server.add_insecure_port(listen)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
