"""What plan versions say, kept in memory: it never changes, so what has been read once stays right."""

from collections import OrderedDict

from libs.common.errors import NotFound
from libs.common.postgres import Conn, Pool
from services.pricing import store
from services.pricing.domain.plans import PlanVersion
from services.pricing.domain.states import VersionState

CAPACITY = 4096


class Versions:
    """The `capacity` plan versions used last. That a version is not there is never remembered: it may come."""

    def __init__(self, pool: Pool, capacity: int = CAPACITY) -> None:
        self._pool = pool
        self._capacity = capacity
        self._kept: OrderedDict[tuple[str, str, int], PlanVersion] = OrderedDict()

    async def get(self, tenant_id: str, plan_code: str, version: int) -> PlanVersion:
        """Raises NotFound PLAN_NOT_FOUND or PLAN_VERSION_NOT_FOUND."""
        key = (tenant_id, plan_code, version)
        found = self._kept.get(key) or await self._read(*key)
        self._kept[key] = found
        self._kept.move_to_end(key)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return found

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
