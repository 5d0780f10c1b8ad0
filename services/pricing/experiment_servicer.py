"""ExperimentService."""

from dataclasses import replace
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import FailedPrecondition, FieldViolation, NotFound
from libs.common.idempotency import fingerprint
from libs.common.paging import page_in
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, request_id_in, text_in
from services.pricing.convert.experiments import experiment_change_in, experiment_in, experiment_out
from services.pricing.domain.experiments import Experiment, assigned
from services.pricing.domain.plans import PlanVersion
from services.pricing.domain.states import VersionState
from services.pricing.referenced import require_none
from services.pricing.store.experiments import EXPERIMENTS
from services.pricing.versions import require_sold, require_version
from weir.pricing.v1 import experiments_pb2
from weir.pricing.v1.experiments_pb2_grpc import ExperimentServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ExperimentServicer(ExperimentServiceServicer):
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def CreateExperiment(
        self, request: experiments_pb2.CreateExperimentRequest, context: Context
    ) -> experiments_pb2.CreateExperimentResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        experiment = experiment_in(request.experiment, self._clock())
        if request.validate_only:
            return experiments_pb2.CreateExperimentResponse(experiment=experiment_out(experiment))
        async with self._pool.acquire() as conn, conn.transaction():
            if (first := await EXPERIMENTS.create(conn, tenant_id, experiment, request_id, request_hash)) is None:
                await _require_arms(conn, tenant_id, experiment)
            else:
                experiment = replace(experiment, create_time=first)
        return experiments_pb2.CreateExperimentResponse(experiment=experiment_out(experiment))

    async def GetExperiment(
        self, request: experiments_pb2.GetExperimentRequest, context: Context
    ) -> experiments_pb2.GetExperimentResponse:
        code = code_in(request.code, "code")
        async with self._pool.acquire() as conn:
            experiment = await EXPERIMENTS.get(conn, caller().tenant_id, code)
        return experiments_pb2.GetExperimentResponse(experiment=experiment_out(experiment))

    async def ListExperiments(
        self, request: experiments_pb2.ListExperimentsRequest, context: Context
    ) -> experiments_pb2.ListExperimentsResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            found, token = page.cut(await EXPERIMENTS.list(conn, caller().tenant_id, page), lambda each: each.code)
        return experiments_pb2.ListExperimentsResponse(experiments=map(experiment_out, found), next_page_token=token)

    async def UpdateExperiment(
        self, request: experiments_pb2.UpdateExperimentRequest, context: Context
    ) -> experiments_pb2.UpdateExperimentResponse:
        tenant_id = caller().tenant_id
        code, change = experiment_change_in(request.experiment, request.update_mask)
        async with self._pool.acquire() as conn, conn.transaction():
            experiment = await EXPERIMENTS.change(conn, tenant_id, code, "experiment.code", change)
        return experiments_pb2.UpdateExperimentResponse(experiment=experiment_out(experiment))

    async def AssignVersion(
        self, request: experiments_pb2.AssignVersionRequest, context: Context
    ) -> experiments_pb2.AssignVersionResponse:
        tenant_id = caller().tenant_id
        code = code_in(request.experiment_code, "experiment_code")
        customer_id = text_in(request.customer_id, "customer_id")
        async with self._pool.acquire() as conn:
            experiment = await EXPERIMENTS.get(conn, tenant_id, code, "experiment_code")
            if experiment.end_time is not None and experiment.end_time <= self._clock():
                raise FailedPrecondition(
                    "EXPERIMENT_ENDED",
                    f"experiment {code} ended at {experiment.end_time.isoformat()}",
                    experiment_code=code,
                )
            arm = assigned(experiment, customer_id, text_in(request.segment, "segment", required=False))
            found = await require_version(conn, tenant_id, arm.plan_code, arm.version)
        require_sold(*found, also_archived=False, field="experiment_code")
        return experiments_pb2.AssignVersionResponse(arm_code=arm.code, plan_code=arm.plan_code, version=arm.version)


async def _require_arms(conn: Conn, tenant_id: str, experiment: Experiment) -> None:
    """Raises NotFound PLAN_NOT_FOUND or PLAN_VERSION_NOT_FOUND, and FailedPrecondition PLAN_VERSION_NOT_SOLD."""
    found: dict[str, tuple[PlanVersion, VersionState]] = {}
    wrong: list[NotFound] = []
    for index, arm in enumerate(experiment.arms):
        path = f"experiment.arms[{index}].version"
        try:
            found[path] = await require_version(conn, tenant_id, arm.plan_code, arm.version)
        except NotFound as error:
            error.violations = (FieldViolation(path, error.reason, error.message),)
            wrong.append(error)
    require_none(wrong)
    for path, version in found.items():
        require_sold(*version, also_archived=False, field=path)
