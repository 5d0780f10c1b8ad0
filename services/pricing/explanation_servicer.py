"""Explain: Rate, with its arithmetic spelled out."""

from typing import Any, TypeAlias

import grpc

from libs.common.errors import InvalidArgument
from libs.common.rpc.server import caller
from services.pricing import convert
from services.pricing.convert.explanation import explained_out
from services.pricing.domain.fixed_charges import rate_fixed_charges
from services.pricing.domain.rating import rate_version
from services.pricing.versions import Versions
from weir.pricing.v1 import explanation_pb2
from weir.pricing.v1.explanation_pb2_grpc import ExplanationServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ExplanationServicer(ExplanationServiceServicer):
    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    async def Explain(
        self, request: explanation_pb2.ExplainRequest, context: Context
    ) -> explanation_pb2.ExplainResponse:
        if not request.HasField("rate"):
            raise InvalidArgument("FIELD_MISSING", "rate is required", field="rate")
        asked = convert.question_in(request.rate, "rate.")
        version = await self._versions.get(caller().tenant_id, asked.plan_code, asked.version, asked.month)
        rated = rate_version(version, asked.usages, asked.proration, told_only=asked.told_only)
        fixed = rate_fixed_charges(version, asked.fixed_units, asked.proration)
        return explained_out(rated, fixed, version.currency)
