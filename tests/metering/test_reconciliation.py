"""The reconciliation report adds up, and names exactly what somebody has tampered with."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import pytest

from libs.common.errors import InvalidArgument
from libs.common.postgres import Pool, create_pool
from libs.common.rpc.client import channel
from libs.common.wire import period_out
from services.metering.main import Settings, running
from services.metering.worker import Folder, Releaser
from tests.conftest import Database, Keys
from tests.metering.conftest import Client, Connect, Corrections
from tests.metering.processes import ROOT
from tests.metering.requests import (
    NOW,
    START,
    amend,
    change,
    close_backfill,
    event,
    ingest,
    make_meters,
    open_backfill,
    revert_backfill,
)
from tests.metering.test_rollups import fold_all
from weir.metering.v1.corrections_pb2 import GetBackfillRequest
from weir.metering.v1.metering_pb2 import Event
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub
from weir.metering.v1.reconciliation_pb2 import Difference, GetReconciliationRequest, Reconciliation
from weir.metering.v1.reconciliation_pb2_grpc import ReconciliationServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.reconciliation_pb2_grpc import ReconciliationServiceAsyncStub

Reports: TypeAlias = "ReconciliationServiceAsyncStub"
TODAY = datetime(2023, 11, 20, tzinfo=UTC)
TOMORROW = TODAY + timedelta(days=1)

EVENTS = [
    *(event(f"t-{n}", "dense", at=START + timedelta(minutes=n), tokens=str(n)) for n in range(1, 601)),
    *(event(f"t-{n}", "sparse", at=START + timedelta(days=n), tokens="2.50") for n in range(1, 4)),
    event("late", "sparse", at=START - timedelta(days=40), tokens="1"),
]
"""Of November, and one of September."""


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    async with await create_pool(database.dsns["metering"]) as opened:
        yield opened


@pytest.fixture
def reports(connect: Connect) -> Reports:
    return connect("acme", stub=ReconciliationServiceStub)


async def report(reports: Reports, start: datetime = TODAY, end: datetime = TOMORROW) -> Reconciliation:
    request = GetReconciliationRequest(period=period_out(start, end), check_keys=True)
    return (await reports.GetReconciliation(request)).reconciliation


async def differences(reports: Reports) -> list[tuple[str, str, str, str, str, str, str]]:
    """Kind, subscription, property, start, figure, expected and actual."""
    found = await report(reports)
    assert found.difference_count == len(found.differences)
    return [
        (
            Difference.Kind.Name(each.kind).removeprefix("KIND_"),
            each.subscription_id,
            each.value_property,
            each.period.start_time.ToDatetime().isoformat()[:16] if each.HasField("period") else "",
            each.figure,
            each.expected,
            each.actual,
        )
        for each in found.differences
    ]


async def test_everything_received_is_accounted_for(connect: Connect, pool: Pool, reports: Reports) -> None:
    metering = connect("acme")
    await make_meters(metering)
    await ingest(metering, EVENTS)
    await fold_all(Folder(pool))
    bad: list[Event] = [
        *EVENTS[:5],
        event("t-1", "dense", tokens="other"),
        event("t-1", "dense", tokens="8"),
        event("future", at=NOW + timedelta(hours=1), tokens="1"),
        event("waiting", tokens="1"),
        event("waiting", tokens="1"),
        event("unknown", code="other"),
        event("nothing"),
    ]
    await ingest(metering, bad)
    found = await report(reports)
    assert list(found.differences) == []
    assert found.received_count == len(EVENTS) + len(bad) == 616
    assert (found.accepted_count, found.recorded_count) == (605, 605)
    assert (found.folded_count, found.waiting_count) == (604, 1)
    assert found.duplicate_count == 6
    assert {each.reason: each.event_count for each in found.rejections} == {
        "DECIMAL_MALFORMED": 1,
        "METER_UNKNOWN": 1,
        "PROPERTY_MISSING": 1,
        "TIMESTAMP_IN_FUTURE": 1,
        "TRANSACTION_ID_REUSED": 1,
    }
    assert found.watermark == 3


async def test_what_is_refused_is_counted_without_anything_recorded(connect: Connect, reports: Reports) -> None:
    """Also for a tenant that has no meter."""
    await ingest(connect("acme"), [event(), event()])
    found = await report(reports)
    assert (found.received_count, found.recorded_count, found.watermark) == (2, 0, 1)
    assert [(each.reason, each.event_count) for each in found.rejections] == [("METER_UNKNOWN", 2)]


async def test_another_day_and_another_tenant_have_their_own_report(connect: Connect, reports: Reports) -> None:
    metering = connect("acme")
    await make_meters(metering)
    await ingest(metering, EVENTS)
    theirs = connect("globex", stub=ReconciliationServiceStub)
    for found in (
        await report(theirs),
        await report(reports, TODAY - timedelta(days=30), TODAY),
        await report(reports, TOMORROW, TOMORROW + timedelta(days=3)),
    ):
        assert (found.received_count, found.recorded_count, found.difference_count) == (0, 0, 0)


async def test_writers_that_race_are_counted_exactly(connect: Connect, pool: Pool, reports: Reports) -> None:
    """Groups of several tenants, by two servers, each event sent twice."""
    tenants = ["acme", "globex", "initech"]
    for tenant_id in tenants:
        await make_meters(connect(tenant_id))
    clients = [connect(tenant_id, server=server) for tenant_id in tenants for server in (0, 1)]
    sending = [ingest(client, EVENTS[n : n + 40]) for n in range(0, 600, 40) for client in clients]
    await asyncio.gather(*sending, fold_all(Folder(pool)))
    for tenant_id in tenants:
        found = await report(connect(tenant_id, stub=ReconciliationServiceStub))
        assert (found.received_count, found.accepted_count, found.duplicate_count) == (1200, 600, 600)
        assert found.difference_count == 0


PLANTED = {
    "an event is lost": (
        "DELETE FROM event WHERE transaction_id = 't-2' AND properties ->> 'tokens' = '2.50'",
        [
            ("RECORDED", "", "", "2023-11-20T00:00", "event_count", "604", "603"),
            ("ADDED_UP", "sparse", "", "2023-11-01T00:00", "event_count", "2", "3"),
            ("ADDED_UP", "sparse", "tokens", "2023-11-01T00:00", "event_count", "2", "3"),
        ],
    ),
    "a late event is lost": (
        "DELETE FROM event WHERE transaction_id = 'late'",
        [("RECORDED", "", "", "2023-11-20T00:00", "event_count", "604", "603")],
    ),
    "an event is changed": (
        "UPDATE event SET properties = '{\"tokens\": \"9\"}' WHERE transaction_id = 'late'",
        [("ADDED_UP", "sparse", "tokens", "2023-09-01T00:00", "total", "9", "1")],
    ),
    "a bucket counts too many": (
        "UPDATE bucket SET event_count = 7 WHERE rollup_no = 0 AND event_count = 3",
        [("ADDED_UP", "sparse", "", "2023-11-01T00:00", "event_count", "3", "7")],
    ),
    "a total is wrong": (
        "UPDATE bucket SET total = total - 0.01 WHERE rollup_no <> 0 AND event_count = 3",
        [("ADDED_UP", "sparse", "tokens", "2023-11-01T00:00", "total", "7.5", "7.49")],
    ),
    "a bucket is gone": (
        "DELETE FROM bucket WHERE rollup_no <> 0 AND event_count = 3",
        [("ADDED_UP", "sparse", "tokens", "2023-11-01T00:00", "event_count", "3", "")],
    ),
    "a narrow bucket is gone": (
        "DELETE FROM bucket WHERE rollup_no = 0 AND width = 2 AND start_time = '2023-11-01T03:00Z'",
        [("NESTED", "dense", "", "2023-11-01T00:00", "event_count", "600", "540")],
    ),
    "a narrow bucket is changed": (
        "UPDATE bucket SET largest = 1000 WHERE rollup_no <> 0 AND width = 2 AND start_time = '2023-11-01T03:00Z'",
        [("NESTED", "dense", "tokens", "2023-11-01T00:00", "largest", "600", "1000")],
    ),
    "an identity is gone": (
        "DELETE FROM event_key WHERE key = (SELECT key FROM event_key ORDER BY key LIMIT 1)",
        [("KEY_MISSING", "dense", "", "2023-11-01T00:00", "transaction_id", "", "t-")],
    ),
    "an identity is too many": (
        "INSERT INTO event_key (key, content_hash) VALUES ('00000000-0000-0000-0000-000000000000', 0)",
        [("KEY_STRAY", "", "", "", "event_count", "0", "1")],
    ),
    "an acknowledgement was not counted": (
        "UPDATE intake SET event_count = event_count - 1 WHERE fate = 'ACCEPTED'",
        [
            ("RECORDED", "", "", "2023-11-20T00:00", "event_count", "603", "604"),
            ("KEY_STRAY", "", "", "", "event_count", "0", "1"),
        ],
    ),
}


@pytest.mark.parametrize("case", PLANTED)
async def test_a_planted_difference_is_named_and_no_other(
    metering: Client, pool: Pool, reports: Reports, case: str
) -> None:
    statement, expected = PLANTED[case]
    await make_meters(metering)
    await ingest(metering, EVENTS)
    await fold_all(Folder(pool))
    assert await differences(reports) == []
    assert int((await pool.execute(statement)).split()[-1]) == 1
    found = await differences(reports)
    assert [(*each[:-1], each[-1][:2] if each[0] == "KEY_MISSING" else each[-1]) for each in found] == expected


async def backfilled(metering: Client, corrections: Corrections, count: int = 6) -> str:
    """An open backfill with as many events, some of them sent again."""
    backfill_id = await open_backfill(corrections)
    sent = [event(f"b-{n}", f"sub-{n % 2}", at=START - timedelta(days=99 - n), tokens="3") for n in range(count)]
    await ingest(metering, sent, backfill_id)
    await ingest(metering, [*sent[:2], event("bad", at=START, tokens="many")], backfill_id)
    return backfill_id


async def test_what_backfills_received_is_accounted_for_whatever_becomes_of_them(
    metering: Client, corrections: Corrections, pool: Pool, reports: Reports
) -> None:
    await make_meters(metering)
    await ingest(metering, EVENTS[:7])
    counts, became = await backfilled(metering, corrections), []

    async def settle() -> None:
        await fold_all(Folder(pool))
        while await Releaser(pool, lambda: NOW).release():
            pass
        found = await report(reports)
        assert list(found.differences) == []
        assert (found.received_count, found.backfilled_count, found.duplicate_count) == (16, 6, 2)
        assert (found.accepted_count, found.recorded_count) == (7, 7)
        assert [(each.reason, each.event_count) for each in found.rejections] == [("DECIMAL_MALFORMED", 1)]
        became.append((await corrections.GetBackfill(GetBackfillRequest(backfill_id=counts))).backfill.state)

    await settle()
    await close_backfill(corrections, counts)
    await settle()
    old = event("b-1", "sub-1", at=START - timedelta(days=98), tokens="3")
    await amend(corrections, change(old))
    await settle()
    await revert_backfill(corrections, counts)
    await settle()
    assert len(set(became)) == 3


@pytest.mark.parametrize("withdrawn", [False, True])
async def test_a_lost_event_of_a_backfill_is_named_with_the_backfill(
    metering: Client, corrections: Corrections, pool: Pool, reports: Reports, *, withdrawn: bool
) -> None:
    await make_meters(metering)
    await backfilled(metering, corrections, 3)
    with_a_loss = await backfilled(metering, corrections, 5)  # of which two are new
    await close_backfill(corrections, with_a_loss)
    if withdrawn:
        await amend(corrections, change(event("b-4", "sub-0", at=START - timedelta(days=95), tokens="3")))
    await fold_all(Folder(pool))
    assert await differences(reports) == []
    table = "withdrawn_event" if withdrawn else "event"
    assert (await pool.execute(f"DELETE FROM {table} WHERE transaction_id = 'b-4'")) == "DELETE 1"
    found = (await report(reports)).differences
    named = [(each.backfill_id, each.expected, each.actual) for each in found if each.backfill_id]
    assert named == [(with_a_loss, "2", "1")]
    assert Difference.Kind.Name(found[0].kind) == "KIND_BACKFILLED"


async def test_a_period_must_be_whole_days(reports: Reports) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await report(reports, TODAY + timedelta(hours=1))
    assert refused.value.reason == "PERIOD_NOT_WHOLE_DAYS"


async def weir(port: int, api_key: str, *arguments: str) -> tuple[int, str]:
    """Exit code and standard output of the command."""
    targets = {f"WEIR_{name}_TARGET": f"127.0.0.1:{port}" for name in ("METERING", "PRICING", "INVOICING", "PAYMENTS")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", *arguments,
        cwd=ROOT, env={**os.environ, **targets, "WEIR_API_KEY": api_key}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_the_command_fails_where_something_differs(database: Database, keys: Keys, pool: Pool) -> None:
    settings = Settings(dsn=database.dsns["metering"], public_keys=keys.public_pem, listen="127.0.0.1:0")
    command = ("reconcile", "--from", "2023-11-20", "--to", "2023-11-21")
    async with running(settings, lambda: NOW) as port:
        async with channel(f"127.0.0.1:{port}", keys.api_key()) as opened:
            metering = MeteringServiceStub(opened)
            await make_meters(metering)
            await ingest(metering, EVENTS)
        code, out = await weir(port, keys.api_key(), *command)
        assert code == 0
        assert "No differences." in out
        await pool.execute("DELETE FROM event WHERE transaction_id = 'late'")
        code, out = await weir(port, keys.api_key(), *command, "--json", "--keys")
    assert code == 1
    [difference] = json.loads(out)["differences"]
    assert (difference["kind"], difference["expected"], difference["actual"]) == ("KIND_RECORDED", "604", "603")
