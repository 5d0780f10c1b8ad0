"""Events that are not for the queue of `ingestion`, read off the wire and made ready to be recorded."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg

from libs.common.errors import FailedPrecondition, Unavailable
from libs.common.postgres import Conn
from services.metering import store
from services.metering.catalog import Catalog
from services.metering.domain.events import EventColumns, Reading, months_without
from services.metering.events_in import events_in
from weir.metering.v1 import metering_pb2


@asynccontextmanager
async def recording(conn: Conn) -> AsyncIterator[None]:
    """A transaction for what was read; raises Unavailable TRANSACTION_CONFLICT where a month was archived since."""
    try:
        async with conn.transaction():
            yield
    except asyncpg.CheckViolationError as error:
        if error.constraint_name:
            raise
        raise Unavailable(
            "TRANSACTION_CONFLICT", "a month was archived meanwhile; try again", retry_after_ms=50
        ) from None


class Reader:
    """Has a catalog of its own."""

    def __init__(self) -> None:
        self._catalog = Catalog()

    async def read(
        self, conn: Conn, tenant_id: str, events: Sequence[metering_pb2.Event], now: datetime
    ) -> tuple[Reading, EventColumns]:
        """Judged by the meters there are now; numbered, and with partitions. Outside of a transaction.

        Raises FailedPrecondition MONTH_ARCHIVED.
        """
        columns = EventColumns()
        catalog = (await self._catalog.current(conn, [tenant_id]))[tenant_id]
        reading = events_in(events, catalog, now, columns)
        await self._catalog.number(conn, [(catalog, reading)], columns)
        months = months_without(columns.micros, set()) if columns.micros else []
        for month in await store.without_partition(conn, months):
            if not await store.create_partition(conn, month):
                name = f"{month:%Y-%m}"
                raise FailedPrecondition(
                    "MONTH_ARCHIVED", f"the events of {name} are archived; restore the month", month=name
                )
        return reading, columns
