"""The states of plan versions."""

from datetime import datetime
from uuid import UUID

from libs.common.postgres import Conn
from services.pricing.domain.states import BEFORE, VersionState
from services.pricing.store.recorded import changed


async def move_version(
    conn: Conn,
    tenant_id: str,
    plan_code: str,
    version: int,
    state: VersionState,
    now: datetime,
    request_id: UUID,
    hashed: bytes,
) -> bool:
    """Compare-and-set. False when the version is in no state that leads to `state`, or the request_id is taken; the
    caller rolls back.
    """
    return await changed(
        conn,
        """
        UPDATE plan_version SET state = $4
        WHERE tenant_id = $1 AND plan_code = $2 AND version = $3 AND state = ANY ($5)
        """,
        tenant_id, plan_code, version, state, list(BEFORE[state]),
    ) and await changed(
        conn,
        """
        INSERT INTO plan_version_transition
            (tenant_id, plan_code, version, state, create_time, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT DO NOTHING
        """,
        tenant_id, plan_code, version, state, now, request_id, hashed,
    )  # fmt: skip
