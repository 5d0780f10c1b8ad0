"""The RPCs of MeterService."""

from typing import Any, TypeAlias

import grpc

from services.metering import convert
from weir.metering.v1 import meters_pb2
from weir.metering.v1.meters_pb2_grpc import MeterServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class MeterServicer(MeterServiceServicer):
    async def EvaluateExpression(
        self, request: meters_pb2.EvaluateExpressionRequest, context: Context
    ) -> meters_pb2.EvaluateExpressionResponse:
        return convert.evaluation_out(*convert.expression_sample_in(request))
