"""The making of meter versions. They are read with their meters."""

from uuid import UUID

from libs.common.postgres import Conn
from services.metering.domain.meters import Meter
from services.metering.store.meters import filters_json
from services.metering.store.recipes import register


async def insert_version(conn: Conn, tenant_id: str, version: Meter, request_id: UUID, request_hash: bytes) -> None:
    """Make `version.version` of the meter, which nobody else may be doing, and enter it into the log.

    The log's turn (see `record_events`) is taken last, and kept until the caller's transaction ends.
    """
    filters = filters_json(version)
    await register(conn, tenant_id, version)
    await conn.execute(
        """
        WITH turn AS MATERIALIZED (
            SELECT pg_advisory_xact_lock('event_batch'::regclass::oid::int, 0)
        ), batch AS (
            INSERT INTO event_batch (record_time) SELECT $12::timestamptz FROM turn RETURNING sequence
        )
        INSERT INTO meter_version (tenant_id, code, version, effective_time, sequence, event_code, value_property,
            filters, dimensions, rounding_function, rounding_precision, expression, create_time, request_id,
            request_hash)
        SELECT $1, $2, $3, $4, sequence, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 FROM batch
        """,
        tenant_id, version.code, version.version, version.since, version.event_code, version.value_property, filters,
        version.dimensions, version.rounding and version.rounding.function,
        version.rounding and version.rounding.precision, version.expression, version.create_time, request_id,
        request_hash,
    )  # fmt: skip


async def find_version_request(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[bytes, int] | None:
    """Hash of the request that made a version, and the version's number."""
    row = await conn.fetchrow(
        "SELECT request_hash, version FROM meter_version WHERE tenant_id = $1 AND request_id = $2",
        tenant_id, request_id,
    )  # fmt: skip
    return (row[0], row[1]) if row else None
