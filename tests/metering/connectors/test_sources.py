"""What is particular to one kind of source."""

import asyncio
import gzip
import io
import json
from pathlib import Path

import pyarrow
import pytest
from confluent_kafka import Message
from pyarrow import parquet
from structlog.testing import capture_logs

from services.metering.connectors.mapping import mapping_in
from services.metering.connectors.records import Refused
from services.metering.connectors.sources.kafka import record_in
from tests.metering.connectors.feeds import Feed, RedisFeed, record
from tests.metering.connectors.world import MAPPING, World
from tests.metering.requests import used

ROW = "id,account,at,tokens\n"


def write(path: Path, body: bytes) -> None:
    """At once, as the documentation asks for."""
    hidden = path.with_name(f".{path.name}")
    hidden.write_bytes(body)
    hidden.rename(path)


@pytest.mark.parametrize("feed", ["folder"], indirect=True)
async def test_a_folder_may_hold_several_formats_and_other_files(world: World, feed: Feed, tmp_path: Path) -> None:
    root = tmp_path / "usage"
    (root / "2023" / "11").mkdir(parents=True)
    rows = [json.loads(record(number)) for number in range(40)]
    write(root / "2023" / "11" / "a.ndjson.gz", gzip.compress(b"\n".join(map(record, range(10)))))
    write(root / "b.csv", (ROW + "".join(f"t-{n},sub-0,{rows[n]['at']},{n + 1}\n" for n in range(10, 20))).encode())
    parquet.write_table(pyarrow.Table.from_pylist(rows[20:40]), sink := io.BytesIO())
    write(root / "c.parquet", sink.getvalue())
    write(root / "README.txt", b"not usage")
    write(root / "empty.ndjson", b"")
    async with world.connector(world.settings(feed.source, batch_size="7")):
        await world.until_used(40, 820)
    assert await world.dead_letters() == []


@pytest.mark.parametrize("feed", ["folder"], indirect=True)
async def test_a_file_that_changes_is_reported_and_read_again(world: World, feed: Feed, tmp_path: Path) -> None:
    path = tmp_path / "usage" / "a.ndjson"
    write(path, b"\n".join(map(record, range(10))))
    with capture_logs() as logs:
        async with world.connector(world.settings(feed.source)):
            await world.until_used(10, 55)
            write(path, b"\n".join([record(0, tokens=99), *map(record, range(1, 12))]))
            await world.until_used(12, 78)
            [letter] = await world.until_dead(1)
    assert (letter.position, letter.reason) == ("a.ndjson#1", "TRANSACTION_ID_REUSED")
    [changed] = [each for each in logs if each["event"] == "object changed, read again"]
    assert changed["object"] == "a.ndjson"
    assert changed["was"] != changed["now"]


@pytest.mark.parametrize("feed", ["redis_streams"], indirect=True)
async def test_a_redis_entry_may_be_the_record_itself(world: World, feed: RedisFeed) -> None:
    fields = {"id": "t-0", "account": "sub-0", "tokens": "1.50"}
    await feed.redis.xadd(feed.stream, fields, id="1700476200000-0")
    mapping = MAPPING | {"timestamp": {"path": "@timestamp", "format": "unix_ms"}}
    async with world.connector(world.settings({**feed.source, "field": ""}, mapping)):
        async with asyncio.timeout(10):
            while (await used(world.metering, "tokens"))["tokens"] != "1.5":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert await feed.redis.xinfo_consumers(feed.stream, "weir") == []  # a consumer that stops in order leaves


@pytest.mark.parametrize("feed", ["redis_streams"], indirect=True)
async def test_a_stream_that_is_deleted_and_made_anew_is_read_on(world: World, feed: RedisFeed) -> None:
    async with world.connector(world.settings(feed.source)):
        await feed.put(record(0))
        await world.until_used(1, 1)
        await feed.redis.delete(feed.stream)
        await feed.put(record(1))
        await world.until_used(2, 3)


def test_kafka_may_carry_cloudevents_in_binary_mode() -> None:
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"/eu"),
        ("ce_type", b"llm"),
        ("ce_subject", b"sub-0"),
        ("ce_time", b"2023-11-20T10:00:00Z"),
        ("content-type", b"application/json; charset=utf-8"),
    ]
    message = Message("usage", 3, 17, value=b'{"tokens": 1.250}', headers=headers, timestamp=(1, 1700476200000))
    record = record_in(message)
    assert record.position == "usage/3/17"
    assert record.metadata["timestamp"] == "1700476200000"
    event = mapping_in("cloudevents").event(record)
    assert (event.transaction_id, event.subscription_id, event.code) == ("/eu|1", "sub-0", "llm")
    assert event.properties == {"tokens": "1.250"}
    assert record_in(Message("usage", 3, 18, value=b"{", headers=headers)).problem


def test_a_kafka_message_without_a_value_is_no_event() -> None:
    record = record_in(Message("usage", 0, 1, key=b"deleted"))
    assert (record.body, record.metadata["key"]) == (b"", "deleted")
    with pytest.raises(Refused):
        mapping_in("cloudevents").event(record)
