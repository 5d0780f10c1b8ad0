"""Amending events: all changes of a request, or none and why."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from libs.common.ids import new_id
from libs.common.postgres import Pool
from services.metering import store
from services.metering.domain.amendments import Amendment, Change, Contents, Replacement, refusals, repeated
from services.metering.domain.events import EventColumns, Refusal
from services.metering.reading import Reader, recording
from services.metering.store import Request
from weir.metering.v1 import metering_pb2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def amend(
    pool: Pool,
    reader: Reader,
    tenant_id: str,
    request: Request,
    changes: Sequence[tuple[Change, metering_pb2.Event | None]],
    now: datetime,
) -> tuple[list[Amendment], list[Refusal]]:
    """The amendments of `changes`, each with its replacement, if there is one; or the reasons why there are none.

    Raises Conflict REQUEST_ID_REUSED.
    """
    async with pool.acquire() as conn:
        indexes = [index for index, (_, event) in enumerate(changes) if event is not None]
        events = [event for _, event in changes if event is not None]
        reading, columns = await reader.read(conn, tenant_id, events, now)
        made = [change for change, _ in changes]
        for row, index in enumerate(reading.indexes):
            made[indexes[index]] = replace(made[indexes[index]], replacement=_replacement(columns, row, events[index]))
        wrong = [replace(each, index=indexes[each.index]) for each in reading.refusals] + [*repeated(made)]
        async with recording(conn):
            tenant_no = await store.claim(conn, tenant_id)
            if not await store.is_repeat(conn, tenant_id, request):
                standing = await store.find_standing(conn, tenant_id, made)
                latest = await store.find_latest(conn, tenant_id, made)
                wrong += refusals(made, standing, latest)
                if wrong:
                    return [], sorted({each.index: each for each in reversed(wrong)}.values(), key=lambda e: e.index)
                ids = sorted(new_id("amd", now) for _ in made)
                numbered = [(ids[i], change, standing[i]) for i, change in enumerate(made)]
                await store.amend(conn, (tenant_id, tenant_no), request, numbered, latest, now)
            return await store.find_amendments(conn, tenant_id, request), []


def _replacement(columns: EventColumns, row: int, event: metering_pb2.Event) -> Replacement:
    amount = columns.amounts[row]
    return Replacement(
        columns.series_nos[row],
        Contents(
            event.code,
            _EPOCH + timedelta(microseconds=columns.micros[row]),
            columns.properties[row],
            Decimal(amount) if amount is not None else None,
        ),
    )
