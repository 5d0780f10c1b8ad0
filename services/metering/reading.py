"""Events that are not for the queue of `ingestion`, read off the wire and made ready to be recorded."""

from collections.abc import Sequence
from datetime import date, datetime

from libs.common.errors import FailedPrecondition
from libs.common.postgres import Conn
from services.metering import store
from services.metering.catalog import Catalog
from services.metering.domain.events import EventColumns, Reading, months_without
from services.metering.events_in import events_in
from weir.metering.v1 import metering_pb2


class Reader:
    """Has a catalog of its own, and knows the partitions that are there."""

    def __init__(self) -> None:
        self._catalog = Catalog()
        self._partitions: set[date] = set()

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
        for month in months_without(columns.micros, self._partitions) if columns.micros else ():
            if not await store.create_partition(conn, month):
                name = f"{month:%Y-%m}"
                raise FailedPrecondition(
                    "MONTH_ARCHIVED", f"the events of {name} are archived; restore the month", month=name
                )
            self._partitions.add(month)
        return reading, columns
