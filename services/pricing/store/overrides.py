"""Versions of a plan for single subscriptions."""

from collections.abc import Iterable
from uuid import UUID

from libs.common.postgres import Conn
from services.pricing.domain.plans import PlanVersion
from services.pricing.domain.states import VersionState
from services.pricing.store.plans import Stated, insert_version, select_versions


async def next_override(conn: Conn, tenant_id: str, plan_code: str) -> int | None:
    """The number of the plan's next override; others wait for the transaction. None when there is no such plan."""
    number: int | None = await conn.fetchval(
        "SELECT latest_override + 1 FROM plan WHERE tenant_id = $1 AND code = $2 FOR UPDATE", tenant_id, plan_code
    )
    return number


async def insert_override(conn: Conn, tenant_id: str, version: PlanVersion, request_id: UUID, hashed: bytes) -> bool:
    """`version` has the number of `next_override`, in the same transaction."""
    await conn.execute(
        "UPDATE plan SET latest_override = $3 WHERE tenant_id = $1 AND code = $2",
        tenant_id, version.plan_code, version.version,
    )  # fmt: skip
    return await insert_version(conn, tenant_id, version, VersionState.ACTIVE, request_id, hashed)


async def find_version_of_request(conn: Conn, tenant_id: str, request_id: UUID) -> Stated | None:
    """The version that a request made."""
    found = await select_versions(conn, "v.tenant_id = $1 AND v.request_id = $2", tenant_id, request_id)
    return found[0] if found else None


async def list_newest(conn: Conn, tenant_id: str, after: tuple[str, str] | None, size: int) -> list[Stated]:
    """Of each subscription and plan, by plan code and subscription, those after the pair `after`; one more than `size`,
    if there are as many.
    """
    return await select_versions(
        conn,
        "v.tenant_id = $1 AND v.subscription_id IS NOT NULL"
        " AND ($2::text IS NULL OR (v.plan_code, v.subscription_id) > ($2, $3))"
        " AND NOT EXISTS (SELECT FROM plan_version o WHERE o.tenant_id = v.tenant_id AND o.plan_code = v.plan_code"
        " AND o.subscription_id = v.subscription_id AND o.version > v.version)"
        " ORDER BY v.plan_code, v.subscription_id LIMIT $4",
        tenant_id, *(after or (None, None)), size + 1,
    )  # fmt: skip


async def find_bases(conn: Conn, tenant_id: str, made: Iterable[PlanVersion]) -> dict[tuple[str, int], PlanVersion]:
    """The versions that they change, by plan code and number."""
    named = {(each.plan_code, each.base_version) for each in made}
    found = await select_versions(
        conn,
        "v.tenant_id = $1 AND (v.plan_code, v.version) IN (SELECT * FROM unnest($2::text[], $3::integer[]))",
        tenant_id, [code for code, _ in named], [number for _, number in named],
    )  # fmt: skip
    return {(version.plan_code, version.version): version for version, _ in found}


async def list_overrides(conn: Conn, tenant_id: str, plan_code: str, before: int | None, size: int) -> list[Stated]:
    """Newest first, those before the number `before`; one more than `size`, if there are as many."""
    return await select_versions(
        conn,
        "v.tenant_id = $1 AND v.plan_code = $2 AND v.subscription_id IS NOT NULL"
        " AND ($3::integer IS NULL OR v.version < $3) ORDER BY v.version DESC LIMIT $4",
        tenant_id, plan_code, before, size + 1,
    )  # fmt: skip
