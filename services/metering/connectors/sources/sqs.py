"""SQS: messages are deleted once they are recorded; until then they stay invisible to others, or come again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import boto3
import structlog
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError

from services.metering.connectors.config import Config
from services.metering.connectors.records import Batch, Record, Source, SourceAway

log = structlog.get_logger()

T = TypeVar("T")

MOST_AT_ONCE = 10
"""Messages in one call, by SQS's own limit."""

CALLS_AT_ONCE = 8
WAIT_SECONDS = 2
MAX_VISIBILITY_SECONDS = 12 * 60 * 60


def opened(config: Config) -> AbstractAsyncContextManager[Source]:
    """Options: queue_url, visibility_seconds, region, endpoint_url. Credentials come as the AWS SDK finds them."""
    options = config.options
    queue_url = options.text("queue_url")
    visibility_seconds = options.number("visibility_seconds", 120, most=MAX_VISIBILITY_SECONDS)
    region, endpoint_url = options.text("region", "") or None, options.text("endpoint_url", "") or None
    options.end()
    try:
        client = boto3.client(
            "sqs",
            region_name=region,
            endpoint_url=endpoint_url,
            config=ClientConfig(max_pool_connections=CALLS_AT_ONCE, retries={"mode": "standard"}),
        )
    except (BotoCoreError, ValueError) as error:
        raise options.wrong("region", f"or another option is wrong: {error}") from None
    return _open(client, queue_url, visibility_seconds, config.batch_size)


@asynccontextmanager
async def _open(client: Any, queue_url: str, visibility_seconds: int, batch_size: int) -> AsyncIterator[Source]:
    try:
        yield Sqs(client, queue_url, visibility_seconds, batch_size)
    finally:
        client.close()


class Sqs:
    """A batch's position is its messages' ids and receipts."""

    def __init__(self, client: Any, queue_url: str, visibility_seconds: int, batch_size: int) -> None:
        self._client = client
        self._queue_url = queue_url
        self._visibility_seconds = visibility_seconds
        self._batch_size = batch_size

    async def read(self) -> Batch | None:
        messages = await _away_if_refused(self._receive, WAIT_SECONDS, self._batch_size)
        is_full = len(messages) == MOST_AT_ONCE
        while is_full and len(messages) < self._batch_size:
            left = self._batch_size - len(messages)
            rooms = [min(MOST_AT_ONCE, left - taken) for taken in range(0, left, MOST_AT_ONCE)][:CALLS_AT_ONCE]
            more = await asyncio.gather(*(_away_if_refused(self._receive, 0, room) for room in rooms))
            messages += [message for each in more for message in each]
            is_full = any(more)
        if not messages:
            return None
        position = [(message["MessageId"], message["ReceiptHandle"]) for message in messages]
        return Batch([_record(message) for message in messages], position)

    async def confirm(self, position: Sequence[tuple[str, str]]) -> None:
        for start in range(0, len(position), MOST_AT_ONCE * CALLS_AT_ONCE):
            chunk = position[start : start + MOST_AT_ONCE * CALLS_AT_ONCE]
            await asyncio.gather(
                *(
                    _away_if_refused(self._delete, chunk[first : first + MOST_AT_ONCE])
                    for first in range(0, len(chunk), MOST_AT_ONCE)
                )
            )

    def _receive(self, wait_seconds: int, most: int) -> list[dict[str, Any]]:
        answer = self._client.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=min(most, MOST_AT_ONCE),
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=self._visibility_seconds,
            MessageSystemAttributeNames=["SentTimestamp", "MessageGroupId"],
            MessageAttributeNames=["All"],
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def _delete(self, messages: Iterable[tuple[str, str]]) -> None:
        entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, (_, receipt) in enumerate(messages)]
        answer = self._client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
        for failure in answer.get("Failed", ()):
            log.warning("message not deleted, comes again", reason=failure["Code"])


def _record(message: dict[str, Any]) -> Record:
    system = message.get("Attributes", {})
    metadata = {"message_id": message["MessageId"], "timestamp": system.get("SentTimestamp", "")}
    if "MessageGroupId" in system:
        metadata["group_id"] = system["MessageGroupId"]
    for name, attribute in message.get("MessageAttributes", {}).items():
        if "StringValue" in attribute:
            metadata[f"attribute.{name}"] = attribute["StringValue"]
    return Record(message["MessageId"], message["Body"].encode(), metadata)


async def _away_if_refused(call: Callable[..., T], *arguments: Any) -> T:
    try:
        return await asyncio.to_thread(call, *arguments)
    except (BotoCoreError, ClientError) as error:
        raise SourceAway(str(error)) from error
