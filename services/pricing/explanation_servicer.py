"""Explain: Rate, with its arithmetic spelled out."""

from typing import Any, TypeAlias

import grpc

from libs.common.errors import InvalidArgument
from libs.common.rpc.server import caller
from libs.common.wire import code_in
from services.pricing import convert
from services.pricing.convert.explanation import explained_out
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
        asked = request.rate
        plan_code = code_in(asked.plan_code, "rate.plan_code")
        number = convert.version_number_in(asked.version, "rate.version")
        usages = convert.usages_in(asked.quantities, "rate.quantities")
        proration = convert.proration_in(asked, "rate.proration")
        month = convert.month_in(asked, "rate.contract_month")
        version = await self._versions.get(caller().tenant_id, plan_code, number, month)
        return explained_out(rate_version(version, usages, proration), version.currency)
