"""Meters and their versions."""

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.metering.domain.meters import Aggregation, DimensionFilter, Meter
from services.metering.domain.rounding import Rounding, RoundingFunction
from services.metering.domain.versions import History, histories
from services.metering.store.adding_up import filters_out
from services.metering.store.recipes import register

_FOUND = """
    tenant_id, code, name, description, event_code, aggregation, value_property, filters, recurring, dimensions,
    rounding_function, rounding_precision, percentile, expression, create_time
"""
# Every version of the meters that are found, with what all versions of a meter have in common.
_VERSIONS = """
    SELECT code, name, description, aggregation, recurring, percentile, definition.*
    FROM found CROSS JOIN LATERAL (
        SELECT 1 AS version, NULL::timestamptz AS since, 0::bigint AS sequence, found.event_code, found.value_property,
            found.filters, found.dimensions, found.rounding_function, found.rounding_precision, found.expression,
            found.create_time
        UNION ALL
        SELECT version, effective_time, sequence, event_code, value_property, filters, dimensions, rounding_function,
            rounding_precision, expression, create_time
        FROM meter_version WHERE tenant_id = found.tenant_id AND code = found.code
    ) AS definition
    ORDER BY code, version
"""


async def insert_meter(conn: Conn, tenant_id: str, meter: Meter, request_id: UUID, request_hash: bytes) -> bool:
    """False when the code or the request_id is taken."""
    await renew_catalog(conn, tenant_id)
    filters = filters_json(meter)
    await register(conn, tenant_id, meter)
    tag = await conn.execute(
        """
        INSERT INTO meter (tenant_id, code, name, description, event_code, aggregation, value_property, filters,
            recurring, dimensions, rounding_function, rounding_precision, percentile,
            expression, create_time, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        ON CONFLICT DO NOTHING
        """,
        tenant_id, meter.code, meter.name, meter.description, meter.event_code, meter.aggregation,
        meter.value_property, filters, meter.recurring, meter.dimensions,
        meter.rounding and meter.rounding.function, meter.rounding and meter.rounding.precision, meter.percentile,
        meter.expression, meter.create_time, request_id, request_hash,
    )  # fmt: skip
    return tag == "INSERT 0 1"


async def renew_catalog(conn: Conn, tenant_id: str) -> None:
    """Tell every server that what it has read is stale. Only one at a time changes the meters of a tenant."""
    await conn.execute(
        """
        INSERT INTO tenant (tenant_id) VALUES ($1)
        ON CONFLICT (tenant_id) DO UPDATE SET catalog_version = tenant.catalog_version + 1
        """,
        tenant_id,
    )


async def find_meter_request(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[bytes, datetime] | None:
    """Hash of the request that made a meter, and when."""
    row = await conn.fetchrow(
        "SELECT request_hash, create_time FROM meter WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return (row["request_hash"], row["create_time"]) if row else None


async def find_meter(conn: Conn, tenant_id: str, code: str) -> History | None:
    found = await find_meters(conn, tenant_id, [code])
    return found[0] if found else None


async def find_meters(conn: Conn, tenant_id: str, codes: Collection[str]) -> list[History]:
    """Those of `codes` that there are."""
    rows = await conn.fetch(
        f"WITH found AS (SELECT {_FOUND} FROM meter WHERE tenant_id = $1 AND code = ANY($2)) {_VERSIONS}",  # noqa: S608
        tenant_id, list(codes),
    )  # fmt: skip
    return histories(map(_meter, rows))


async def list_meters(conn: Conn, tenant_id: str, page: Page | None) -> list[History]:
    """By code; one more than the page's size, if there are as many. All without a page."""
    rows = await conn.fetch(
        f"""
        WITH found AS (
            SELECT {_FOUND} FROM meter WHERE tenant_id = $1 AND ($2::text IS NULL OR code > $2)
            ORDER BY code LIMIT $3
        )
        {_VERSIONS}
        """,  # noqa: S608 constants only
        tenant_id, page and page.after, page and page.size + 1,
    )  # fmt: skip
    return histories(map(_meter, rows))


async def update_meter(
    conn: Conn, tenant_id: str, code: str, name: str | None, description: str | None
) -> History | None:
    """The meter as it is now; a None leaves its column alone."""
    rows = await conn.fetch(
        f"""
        WITH found AS (
            UPDATE meter SET name = coalesce($3, name), description = coalesce($4, description)
            WHERE tenant_id = $1 AND code = $2
            RETURNING {_FOUND}
        )
        {_VERSIONS}
        """,  # noqa: S608 constants only
        tenant_id, code, name, description,
    )  # fmt: skip
    found = histories(map(_meter, rows))
    return found[0] if found else None


def filters_json(meter: Meter) -> str:
    return json.dumps(filters_out(meter.filters))


def _meter(row: asyncpg.Record) -> Meter:
    values: dict[str, Any] = dict(row)
    function, precision = values.pop("rounding_function"), values.pop("rounding_precision")
    return Meter(
        **values
        | {
            "filters": tuple(
                DimensionFilter(each["property"], tuple(each["values"])) for each in json.loads(values["filters"])
            ),
            "aggregation": Aggregation(values["aggregation"]),
            "dimensions": tuple(values["dimensions"]),
            "rounding": Rounding(RoundingFunction(function), precision) if function else None,
        }
    )
