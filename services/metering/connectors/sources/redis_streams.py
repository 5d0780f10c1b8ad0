"""Redis Streams: a consumer group, whose entries are acknowledged once they are recorded.

Each process is a consumer of its own; what one has read and not acknowledged for some time, another one claims.
"""

import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import TypeAlias, cast

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoAnswer

from services.metering.connectors.config import Config
from services.metering.connectors.records import Batch, Record, Source, SourceAway

Entry: TypeAlias = "tuple[bytes, dict[bytes, bytes]]"

WAIT_MS = 1000
TIMEOUT_SECONDS = 10
FIRST = b"0-0"
DAY_SECONDS = 24 * 60 * 60


def opened(config: Config) -> AbstractAsyncContextManager[Source]:
    """Options: url, stream, group, field (the one that holds JSON; else the fields are the record), claim_seconds."""
    options = config.options
    url, stream, group = options.text("url"), options.text("stream"), options.text("group")
    field = options.text("field", "")
    claim_seconds = options.number("claim_seconds", 60, most=DAY_SECONDS)
    options.end()
    try:
        redis = Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)
    except ValueError as error:
        raise options.wrong("url", f"is wrong: {error}") from None
    return _open(RedisStream(redis, stream, group, field, claim_seconds * 1000, config.batch_size), redis)


@asynccontextmanager
async def _open(source: "RedisStream", redis: Redis) -> AsyncIterator[Source]:
    async with redis:
        yield source
        with suppress(RedisError, OSError):
            await source.leave()


class RedisStream:
    """A batch's position is the ids of its entries."""

    def __init__(self, redis: Redis, stream: str, group: str, field: str, claim_ms: int, batch_size: int) -> None:
        self._redis = redis
        self._stream = stream
        self._group = group
        self._field = field.encode()
        self._claim_ms = claim_ms
        self._batch_size = batch_size
        self._consumer = f"{socket.gethostname()}-{os.getpid()}"
        self._cursor = FIRST
        self._has_group = False

    async def read(self) -> Batch | None:
        with _away():
            if not self._has_group:
                await self._make_group()
            try:
                entries = await self._claimed() or await self._fresh()
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                self._has_group = False  # the stream has been deleted, and perhaps made anew
                raise SourceAway(str(error)) from error
        if not entries:
            return None
        return Batch([self._record(id_, fields) for id_, fields in entries], [id_ for id_, _ in entries])

    async def confirm(self, position: Sequence[bytes]) -> None:
        with _away():
            await self._redis.xack(self._stream, self._group, *position)

    async def leave(self) -> None:
        """Take this consumer from the group, unless it has entries: those wait there for another one to claim them."""
        for consumer in await self._redis.xinfo_consumers(self._stream, self._group):
            if consumer["name"] == self._consumer.encode() and not consumer["pending"]:
                await self._redis.xgroup_delconsumer(self._stream, self._group, self._consumer)

    async def _make_group(self) -> None:
        try:
            await self._redis.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._has_group = True

    async def _claimed(self) -> list[Entry]:
        """Entries that a consumer has held for too long, a dead one most likely."""
        self._cursor, entries, _deleted = await self._redis.xautoclaim(
            self._stream, self._group, self._consumer, self._claim_ms, self._cursor, count=self._batch_size
        )
        return cast("list[Entry]", entries)

    async def _fresh(self) -> list[Entry]:
        streams = await self._redis.xreadgroup(
            self._group, self._consumer, {self._stream: ">"}, count=self._batch_size, block=WAIT_MS
        )
        return [entry for _, entries in streams for entry in entries]

    def _record(self, id_: bytes, fields: dict[bytes, bytes]) -> Record:
        texts = {_text(name): _text(value) for name, value in fields.items()}
        position = id_.decode()
        metadata = {"timestamp": position.partition("-")[0]}
        if not self._field:
            return Record(position, dict(texts), metadata)
        metadata |= {f"field.{name}": text for name, text in texts.items() if name != self._field.decode()}
        return Record(position, fields.get(self._field, b""), metadata)


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except (NoConnection, NoAnswer, BusyLoadingError, ReadOnlyError, OSError) as error:
        raise SourceAway(str(error) or repr(error)) from error
