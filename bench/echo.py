"""`python -m bench.echo LISTEN`: a server that answers at once, whatever it is sent: what a call of gRPC costs."""

import asyncio
import sys
from typing import Any

import grpc

from weir.metering.v1 import metering_pb2

_INGESTED = metering_pb2.IngestEventsResponse(accepted_count=1).SerializeToString()
_ANSWERS = {"/weir.metering.v1.MeteringService/IngestEvents": _INGESTED}
"""Where it is not an empty message."""


class _Any(grpc.GenericRpcHandler):
    """Every method there is."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        answer = _ANSWERS.get(handler_call_details.method, b"")

        async def respond(_request: bytes, _context: "grpc.aio.ServicerContext[Any, Any]") -> bytes:
            return answer

        return grpc.unary_unary_rpc_method_handler(respond)


async def serve(listen: str) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Any(),))
    server.add_insecure_port(listen)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
