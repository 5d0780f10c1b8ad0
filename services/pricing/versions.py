"""What plan versions say, kept in memory: it never changes, so what has been read once stays right."""

from collections import OrderedDict

from libs.common.errors import FailedPrecondition, InvalidArgument, NotFound
from libs.common.postgres import Conn, Pool
from services.pricing import store
from services.pricing.domain.phases import in_phase, phase_in
from services.pricing.domain.plans import PlanVersion
from services.pricing.domain.states import VersionState

CAPACITY = 4096


class Versions:
    """The `capacity` plan versions used last, each phase of one for itself. That a version is not there is never
    remembered: it may come.
    """

    def __init__(self, pool: Pool, capacity: int = CAPACITY) -> None:
        self._pool = pool
        self._capacity = capacity
        self._kept: OrderedDict[tuple[str, str, int, int | None], PlanVersion] = OrderedDict()

    async def get(self, tenant_id: str, plan_code: str, version: int, month: int | None = None) -> PlanVersion:
        """What the version costs in a month of the contract, counted from 0.

        Raises NotFound PLAN_NOT_FOUND or PLAN_VERSION_NOT_FOUND, and InvalidArgument CONTRACT_MONTH_MISSING when that
        is a matter of the month and none is told.
        """
        found = await self.whole(tenant_id, plan_code, version)
        return self._in_month(found, tenant_id, month) if found.phases else found

    async def whole(self, tenant_id: str, plan_code: str, version: int) -> PlanVersion:
        """With all of its phases. Raises NotFound PLAN_NOT_FOUND or PLAN_VERSION_NOT_FOUND."""
        key = (tenant_id, plan_code, version, None)
        found = self._kept.get(key) or await self._read(tenant_id, plan_code, version)
        self._keep(key, found)
        return found

    def _in_month(self, version: PlanVersion, tenant_id: str, month: int | None) -> PlanVersion:
        if month is None:
            raise InvalidArgument(
                "CONTRACT_MONTH_MISSING",
                f"version {version.version} of plan {version.plan_code} has phases: say the month of the contract",
                field="contract_month",
            )
        if (phase := phase_in(version, month)) is None:
            return version
        key = (tenant_id, version.plan_code, version.version, phase.from_month)
        found = self._kept.get(key) or in_phase(version, phase)
        self._keep(key, found)
        return found

    def _keep(self, key: tuple[str, str, int, int | None], version: PlanVersion) -> None:
        self._kept[key] = version
        self._kept.move_to_end(key)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

    async def newest(self, tenant_id: str, plan_code: str) -> PlanVersion:
        """The newest that is active, always read: it changes.

        Raises NotFound PLAN_NOT_FOUND, and FailedPrecondition PLAN_NOT_ACTIVE.
        """
        async with self._pool.acquire() as conn:
            plan = await store.find_plan(conn, tenant_id, plan_code)
        if plan is None:
            raise plan_not_found(plan_code)
        if plan.latest_version is None:
            raise FailedPrecondition(
                "PLAN_NOT_ACTIVE", f"no version of plan {plan_code} is active: name one", plan_code=plan_code
            )
        return plan.latest_version

    async def _read(self, tenant_id: str, plan_code: str, version: int) -> PlanVersion:
        async with self._pool.acquire() as conn:
            found, _ = await require_version(conn, tenant_id, plan_code, version)
        return found


async def require_version(conn: Conn, tenant_id: str, plan_code: str, version: int) -> tuple[PlanVersion, VersionState]:
    """Raises NotFound PLAN_NOT_FOUND or PLAN_VERSION_NOT_FOUND."""
    if found := await store.find_version(conn, tenant_id, plan_code, version):
        return found
    if not await store.plan_exists(conn, tenant_id, plan_code):
        raise plan_not_found(plan_code)
    raise NotFound(
        "PLAN_VERSION_NOT_FOUND",
        f"plan {plan_code} has no version {version}",
        plan_code=plan_code,
        version=str(version),
    )


def plan_not_found(code: str) -> NotFound:
    return NotFound("PLAN_NOT_FOUND", f"there is no plan {code}", plan_code=code)


def require_sold(version: PlanVersion, state: VersionState, *, also_archived: bool, field: str) -> None:
    """A version of the catalog that subscriptions can have: active, or archived since.

    Raises FailedPrecondition PLAN_VERSION_NOT_SOLD.
    """
    admitted = (VersionState.ACTIVE, VersionState.ARCHIVED) if also_archived else (VersionState.ACTIVE,)
    if version.subscription_id or state not in admitted:
        found = f"an override for {version.subscription_id}" if version.subscription_id else str(state)
        raise FailedPrecondition(
            "PLAN_VERSION_NOT_SOLD",
            f"version {version.version} of plan {version.plan_code} is {found}",
            plan_code=version.plan_code,
            version=str(version.version),
            field=field,
        )
