"""Kafka: a consumer group, whose offsets are committed once their records are recorded."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

import structlog
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Message, TopicPartition

from services.metering.connectors import cloudevents
from services.metering.connectors.config import Config
from services.metering.connectors.records import Batch, Record, Refused, Source, SourceAway

log = structlog.get_logger()

WAIT_SECONDS = 1.0
LINGER_SECONDS = 0.05
"""How long a batch waits for more, once it has its first message."""

OURS = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": False,
}
NOT_OURS_ANY_MORE = (
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError._ASSIGNMENT_LOST,
    KafkaError._STATE,
)
"""Why a commit fails when the group has given the partitions to others, who read the messages again."""


def opened(config: Config) -> AbstractAsyncContextManager[Source]:
    """Options: brokers, topics, group, start (earliest or latest) and settings, which are librdkafka's own."""
    options = config.options
    settings = options.names("settings")
    if fixed := sorted(OURS.keys() & settings.keys()):
        raise options.wrong(f"settings.{fixed[0]}", "can't be set: offsets are committed after ingestion")
    properties = {
        **settings,
        **OURS,
        "bootstrap.servers": options.text("brokers"),
        "group.id": options.text("group"),
        "auto.offset.reset": options.choice("start", "earliest", "latest", default="earliest"),
    }
    topics = options.texts("topics")
    options.end()
    try:
        consumer = Consumer(properties, logger=logging.getLogger("kafka"))
    except KafkaException as error:
        raise options.wrong("settings", f"are refused: {error.args[0].str()}") from None
    return _subscribed(consumer, topics, config.batch_size)


@asynccontextmanager
async def _subscribed(consumer: Consumer, topics: list[str], batch_size: int) -> AsyncIterator[Source]:
    consumer.subscribe(topics)
    try:
        yield Kafka(consumer, batch_size)
    finally:
        await asyncio.to_thread(consumer.close)


class Kafka:
    """A batch's position is the offset to go on from, in each of its partitions."""

    def __init__(self, consumer: Consumer, batch_size: int) -> None:
        self._consumer = consumer
        self._batch_size = batch_size

    async def read(self) -> Batch | None:
        polled = await asyncio.to_thread(self._consume)
        messages = [message for message in polled if message.error() is None]
        for error in (message.error() for message in polled):
            if error is not None and error.fatal():
                raise KafkaException(error)
            if error is not None and not messages:
                raise SourceAway(error.str())
        if not messages:
            return None
        last = {(message.topic(), message.partition()): message for message in messages}
        return Batch([record_in(message) for message in messages], [_after(message) for message in last.values()])

    async def confirm(self, position: list[TopicPartition]) -> None:
        try:
            await asyncio.to_thread(self._consumer.commit, offsets=position, asynchronous=False)
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if cause.code() not in NOT_OURS_ANY_MORE:
                raise SourceAway(cause.str()) from error
            log.warning("partitions taken over before the commit", cause=cause.str())

    def _consume(self) -> list[Message]:
        first = self._consumer.consume(1, WAIT_SECONDS)
        more = self._batch_size - 1
        return first + self._consumer.consume(more, LINGER_SECONDS) if first and more else first


def _after(message: Message) -> TopicPartition:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return TopicPartition(topic, partition, offset + 1)


def record_in(message: Message) -> Record:
    position = f"{message.topic()}/{message.partition()}/{message.offset()}"
    metadata = {"topic": str(message.topic())}
    if message.key() is not None:
        metadata["key"] = _text(message.key())
    kind, milliseconds = message.timestamp()
    if kind != TIMESTAMP_NOT_AVAILABLE:
        metadata["timestamp"] = str(milliseconds)
    headers = {name: _text(value) for name, value in cast("list[tuple[str, bytes | None]]", message.headers() or [])}
    metadata |= {f"header.{name}": value for name, value in headers.items()}
    body = message.value() or b""
    if "ce_specversion" not in headers:
        return Record(position, body, metadata)
    attributes = cloudevents.attributes_in(headers, "ce_")
    try:
        return Record(position, cloudevents.binary(attributes, headers.get("content-type", ""), body), metadata)
    except Refused as refused:
        return Record(position, body, metadata, problem=refused.refusal.message)


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value or ""
