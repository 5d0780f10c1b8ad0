"""Real sources, and how something gets into them."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3
from confluent_kafka import Producer
from redis.asyncio import Redis

AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-central-1"}


class Feed(Protocol):
    @property
    def source(self) -> Mapping[str, Any]:
        """The options of a connector that reads it."""

    async def put(self, *records: bytes) -> None: ...


def aws_client(service: str, endpoint_url: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint_url,
        region_name=AWS["AWS_DEFAULT_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@dataclass(frozen=True, slots=True)
class KafkaFeed:
    """librdkafka's mock of a cluster: real TCP brokers, in memory, four partitions."""

    producer: Producer
    topic: str

    @property
    def source(self) -> Mapping[str, Any]:
        brokers = self.producer.list_topics(timeout=10).brokers.values()
        return {
            "kind": "kafka",
            "brokers": ",".join(f"{each.host}:{each.port}" for each in brokers),
            "topics": [self.topic],
            "group": "weir",
            "settings": {"session.timeout.ms": "4000", "heartbeat.interval.ms": "500"},
        }

    async def put(self, *records: bytes) -> None:
        for record in records:
            self.producer.produce(self.topic, record, key=b"k")
        await asyncio.to_thread(self.producer.flush, 10)


@asynccontextmanager
async def _kafka(_folder: Path, _redis_url: str, _aws: str) -> AsyncIterator[Feed]:
    producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "ignored", "log_level": 0})
    yield KafkaFeed(producer, f"usage-{secrets.token_hex(4)}")


@dataclass(frozen=True, slots=True)
class SqsFeed:
    client: Any
    queue_url: str
    endpoint_url: str

    @property
    def source(self) -> Mapping[str, Any]:
        return {
            "kind": "sqs",
            "queue_url": self.queue_url,
            "endpoint_url": self.endpoint_url,
            "visibility_seconds": "1",
        }

    async def put(self, *records: bytes) -> None:
        await asyncio.to_thread(self._send, records)

    def _send(self, records: Sequence[bytes]) -> None:
        for start in range(0, len(records), 10):
            entries = [{"Id": str(i), "MessageBody": each.decode()} for i, each in enumerate(records[start:][:10])]
            self.client.send_message_batch(QueueUrl=self.queue_url, Entries=entries)


@asynccontextmanager
async def _sqs(_folder: Path, _redis_url: str, aws: str) -> AsyncIterator[Feed]:
    client = aws_client("sqs", aws)
    queue_url = client.create_queue(QueueName=f"usage-{secrets.token_hex(4)}")["QueueUrl"]
    yield SqsFeed(client, queue_url, aws)
    client.close()


@dataclass(frozen=True, slots=True)
class RedisFeed:
    redis: Redis
    url: str
    stream: str

    @property
    def source(self) -> Mapping[str, Any]:
        return {
            "kind": "redis_streams",
            "url": self.url,
            "stream": self.stream,
            "group": "weir",
            "field": "event",
            "claim_seconds": "1",
        }

    async def put(self, *records: bytes) -> None:
        async with self.redis.pipeline(transaction=False) as pipeline:
            for record in records:
                pipeline.xadd(self.stream, {"event": record})
            await pipeline.execute()


@asynccontextmanager
async def _redis(_folder: Path, redis_url: str, _aws: str) -> AsyncIterator[Feed]:
    async with Redis.from_url(redis_url) as redis:
        yield RedisFeed(redis, redis_url, f"usage-{secrets.token_hex(4)}")


@dataclass(frozen=True, slots=True)
class FolderFeed:
    root: Path

    @property
    def source(self) -> Mapping[str, Any]:
        return {"kind": "files", "url": self.root.as_uri(), "poll_seconds": "1"}

    async def put(self, *records: bytes) -> None:
        hidden = self.root / f".{secrets.token_hex(4)}.ndjson"
        hidden.write_bytes(b"".join(record + b"\n" for record in records))
        hidden.rename(self.root / hidden.name[1:])


@asynccontextmanager
async def _folder(folder: Path, _redis_url: str, _aws: str) -> AsyncIterator[Feed]:
    root = folder / "usage"
    root.mkdir()
    yield FolderFeed(root)


@dataclass(frozen=True, slots=True)
class S3Feed:
    client: Any
    bucket: str
    endpoint_url: str

    @property
    def source(self) -> Mapping[str, Any]:
        return {
            "kind": "files",
            "url": f"s3://{self.bucket}/usage/",
            "endpoint_url": self.endpoint_url,
            "poll_seconds": "1",
        }

    async def put(self, *records: bytes) -> None:
        body = b"".join(record + b"\n" for record in records)
        key = f"usage/{secrets.token_hex(4)}.ndjson"
        await asyncio.to_thread(self.client.put_object, Bucket=self.bucket, Key=key, Body=body)


@asynccontextmanager
async def _s3(_folder: Path, _redis_url: str, aws: str) -> AsyncIterator[Feed]:
    client = aws_client("s3", aws)
    bucket = f"usage-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": AWS["AWS_DEFAULT_REGION"]})
    yield S3Feed(client, bucket, aws)
    client.close()


FEEDS: Mapping[str, Callable[[Path, str, str], AbstractAsyncContextManager[Feed]]] = {
    "kafka": _kafka,
    "sqs": _sqs,
    "redis_streams": _redis,
    "folder": _folder,
    "s3": _s3,
}


def record(number: int, **fields: Any) -> bytes:
    """Some usage, as JSON: one token for number 0, two for number 1 …"""
    usage = {"id": f"t-{number}", "account": "sub-0", "at": 1_700_476_200_000 + number, "tokens": number + 1}
    return json.dumps(usage | fields).encode()
