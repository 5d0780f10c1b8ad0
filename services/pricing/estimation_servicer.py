"""Estimate and EstimateEvent: from prices and meters in memory."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import InvalidArgument
from libs.common.rpc.server import caller
from libs.common.wire import code_in, money_out
from services.pricing import convert
from services.pricing.convert.estimation import costs_out
from services.pricing.convert.meters import event_in, values_in
from services.pricing.domain.additions import Event, additions
from services.pricing.domain.marginal import estimate
from services.pricing.domain.plans import PlanVersion
from services.pricing.domain.usage import Usage
from services.pricing.meters import Meters
from services.pricing.versions import Versions
from weir.pricing.v1 import estimation_pb2
from weir.pricing.v1.estimation_pb2_grpc import EstimationServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

NOT_ESTIMABLE = "AGGREGATION_NOT_ESTIMABLE"
NO_METER = "METER_NOT_FOUND"


class EstimationServicer(EstimationServiceServicer):
    def __init__(self, versions: Versions, meters: Meters, clock: Clock) -> None:
        self._versions = versions
        self._meters = meters
        self._clock = clock

    async def Estimate(
        self, request: estimation_pb2.EstimateRequest, context: Context
    ) -> estimation_pb2.EstimateResponse:
        if not request.added:
            raise InvalidArgument("FIELD_MISSING", "added is required", field="added")
        used = convert.usages_in(request.used, "used")
        added = convert.usages_in(request.added, "added")
        proration = convert.proration_in(request, "proration")
        version = await self._version(request)
        found = estimate(version, used, added, proration)
        return estimation_pb2.EstimateResponse(costs=costs_out(found.costs), amount=money_out(found.amount))

    async def EstimateEvent(
        self, request: estimation_pb2.EstimateEventRequest, context: Context
    ) -> estimation_pb2.EstimateEventResponse:
        event = event_in(request, self._clock())
        used = convert.usages_in(request.used, "used")
        proration = convert.proration_in(request, "proration")
        version = await self._version(request)
        added, skipped = await self._added(version, event, used)
        found = estimate(version, used, added, proration)
        return estimation_pb2.EstimateEventResponse(
            costs=costs_out(found.costs), amount=money_out(found.amount), skipped=skipped
        )

    async def _version(
        self, request: estimation_pb2.EstimateRequest | estimation_pb2.EstimateEventRequest
    ) -> PlanVersion:
        plan_code = code_in(request.plan_code, "plan_code")
        number = convert.version_number_in(request.version, "version")
        month = convert.month_in(request, "contract_month")
        return await self._versions.get(caller().tenant_id, plan_code, number, month)

    async def _added(
        self, version: PlanVersion, event: Event, used: Sequence[Usage]
    ) -> tuple[list[Usage], list[estimation_pb2.SkippedCharge]]:
        """What the event adds, and the charges of which that can't be said."""
        codes = {charge.meter_code for charge in version.charges}
        meters = await self._meters.get(caller().tenant_id, codes)
        values = values_in(event, (meters[code] for code in codes if code in meters))
        added: list[Usage] = []
        skipped = [_skipped(each.code, NO_METER) for each in version.charges if each.meter_code not in meters]
        for addition in additions(version, meters, event, values, used):
            if addition.usage is None:
                skipped.append(_skipped(addition.charge.code, NOT_ESTIMABLE))
            else:
                added.append(addition.usage)
        return added, skipped


def _skipped(charge_code: str, reason: str) -> estimation_pb2.SkippedCharge:
    return estimation_pb2.SkippedCharge(charge_code=charge_code, reason=reason)
