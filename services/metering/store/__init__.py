"""Every statement of the service. Functions take a connection; the caller owns the transaction."""

from libs.common.postgres import Conn
from services.metering.store.amendments import (
    amend,
    find_amendments,
    find_latest,
    find_standing,
    list_amendments,
)
from services.metering.store.archive import require_listable
from services.metering.store.backfills import (
    close_backfill,
    find_backfill,
    list_backfills,
    open_backfill,
    record_in_backfill,
    revert_backfill,
)
from services.metering.store.clocks import find_test_clock, move_test_clock
from services.metering.store.corrections import Request, claim, is_repeat
from services.metering.store.events import (
    are_current,
    catalog_versions,
    connect_writer,
    content_hashes,
    create_partition,
    list_events,
    number_series,
    record_events,
    without_partition,
)
from services.metering.store.following import touched_subscriptions
from services.metering.store.intake import count_intake
from services.metering.store.meter_versions import find_version_request, insert_version
from services.metering.store.meters import (
    find_meter,
    find_meter_request,
    insert_meter,
    list_meters,
    renew_catalog,
    update_meter,
)
from services.metering.store.snapshot import snapshot
from services.metering.store.usage import read_event_charges, read_event_usage, read_head, read_usage

__all__ = [
    "Request",
    "amend",
    "are_current",
    "catalog_versions",
    "check",
    "claim",
    "close_backfill",
    "connect_writer",
    "content_hashes",
    "count_intake",
    "create_partition",
    "find_amendments",
    "find_backfill",
    "find_latest",
    "find_meter",
    "find_meter_request",
    "find_standing",
    "find_test_clock",
    "find_version_request",
    "insert_meter",
    "insert_version",
    "is_repeat",
    "list_amendments",
    "list_backfills",
    "list_events",
    "list_meters",
    "move_test_clock",
    "number_series",
    "open_backfill",
    "read_event_charges",
    "read_event_usage",
    "read_head",
    "read_usage",
    "record_events",
    "record_in_backfill",
    "renew_catalog",
    "require_listable",
    "revert_backfill",
    "snapshot",
    "touched_subscriptions",
    "update_meter",
    "without_partition",
]


async def check(conn: Conn) -> None:
    """Raises unless the schema is there and can be read."""
    await conn.execute("SELECT FROM event_batch LIMIT 1")
