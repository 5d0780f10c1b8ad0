"""Files of a folder, or objects under an S3 prefix, each read once.

How far each has been read is a row in Postgres, written once its records are recorded. New ones are found by listing
again. One that has changed is read again from its start: what was recorded of it before is a duplicate, and what says
something else under its old transaction_id becomes a dead letter.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import SplitResult, urlsplit

import structlog

from libs.common.clock import Clock
from libs.common.postgres import Pool
from services.metering.connectors import store
from services.metering.connectors.config import Config, Fields
from services.metering.connectors.formats import ENDINGS, format_of, records_in
from services.metering.connectors.records import Batch, Record, Source, SourceAway
from services.metering.connectors.store import Progress

log = structlog.get_logger()

MAX_BATCH_BYTES = 16 * 1024 * 1024
MAX_POLL_SECONDS = 24 * 60 * 60
IDLE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Object:
    """A file or S3 object; `version` changes with its contents."""

    name: str
    version: str


class Folder(Protocol):
    """Where objects lie. Its methods block, and raise SourceAway or OSError."""

    def pages(self) -> Iterator[Sequence[Object]]:
        """All there is, some at a time."""

    def open(self, each: Object) -> IO[bytes]:
        """The contents of that version."""


class LocalFolder:
    """A folder with its subfolders. Names that begin with a dot are left out: files appear complete, by renaming."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def pages(self) -> Iterator[Sequence[Object]]:
        if not self._root.is_dir():
            raise SourceAway(f"{self._root} is not a folder")
        found = []
        for path in sorted(self._root.rglob("*")):
            name = path.relative_to(self._root)
            with suppress(FileNotFoundError):  # gone since
                if path.is_file() and not any(part.startswith(".") for part in name.parts):
                    state = path.stat()
                    found.append(Object(name.as_posix(), f"{state.st_mtime_ns}-{state.st_size}"))
        yield found

    def open(self, each: Object) -> IO[bytes]:
        return (self._root / each.name).open("rb")


@dataclass(frozen=True, slots=True)
class ReadTo:
    """A batch's position: how far its object has then been read."""

    name: str
    progress: Progress


def opened(config: Config, pool: Pool, clock: Clock) -> AbstractAsyncContextManager[Source]:
    """Options: url (file:///folder or s3://bucket/prefix), poll_seconds, format, delimiter, and those of `s3`."""
    options = config.options
    url = urlsplit(options.text("url"))
    poll_seconds = options.number("poll_seconds", 10, most=MAX_POLL_SECONDS)
    form = options.choice("format", *ENDINGS, "", default="")
    delimiter = options.text("delimiter", ",")
    if len(delimiter) != 1:
        raise options.wrong("delimiter", "must be one character")
    folder = _folder(url, options)
    options.end()
    return _closing(Files(config, Reader(folder, form, delimiter), pool, clock, poll_seconds))


def _folder(url: SplitResult, options: Fields) -> Folder:
    if url.scheme == "file" and not url.netloc and url.path:
        return LocalFolder(Path(url.path))
    if url.scheme == "s3" and url.netloc:
        from services.metering.connectors.sources import s3

        return s3.bucket(url.netloc, url.path.removeprefix("/"), options)
    raise options.wrong("url", f"is {url.geturl()!r}; it must be file:///folder or s3://bucket/prefix")


@dataclass(frozen=True, slots=True)
class Reader:
    """Objects of a folder as records. `form` and `delimiter` are those of all; an empty form goes by the name."""

    folder: Folder
    form: str
    delimiter: str

    def form_of(self, each: Object) -> str | None:
        """None for an object that is none of ours."""
        return self.form or format_of(each.name)

    def records(self, each: Object, skip: int) -> Generator[Record, None, None]:
        """From the one after `skip` on; blocks, and opens the object at the first one."""
        form = self.form_of(each)
        assert form is not None
        with self.folder.open(each) as stream:
            yield from islice(records_in(stream, each.name, form, self.delimiter), skip, None)


class Files:
    """Reads one object after the other. One that can't be read is logged and waits for the next listing."""

    def __init__(self, config: Config, reader: Reader, pool: Pool, clock: Clock, poll_seconds: int) -> None:
        self._key = (config.tenant_id, config.name)
        self._batch_size = config.batch_size
        self._reader = reader
        self._pool = pool
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._list_time = 0.0
        self._listing: AsyncGenerator[tuple[Object, int], None] | None = None
        self._reading: tuple[Object, int, Generator[Record, None, None]] | None = None

    async def read(self) -> Batch | None:
        if self._reading is None and (found := await self._next()) is not None:
            self._reading = *found, self._reader.records(*found)
        if self._reading is None:
            await asyncio.sleep(IDLE_SECONDS)
            return None
        each, count, records = self._reading
        try:
            taken, is_complete = await asyncio.to_thread(_take, records, self._batch_size)
        except (SourceAway, OSError) as error:
            log.warning("object not read, tried again later", object=each.name, cause=repr(error))
            self._reading = None
            return None
        count += len(taken)
        self._reading = None if is_complete else (each, count, records)
        return Batch(taken, ReadTo(each.name, Progress(each.version, count, is_complete)))

    async def confirm(self, position: ReadTo) -> None:
        async with self._pool.acquire() as conn:
            await store.save_progress(conn, *self._key, position.name, position.progress, self._clock())

    async def _next(self) -> tuple[Object, int] | None:
        """An object that is not read to its end, and how many of its records are; None while there is none."""
        now = asyncio.get_running_loop().time()
        if self._listing is None:
            if now < self._list_time:
                return None
            self._listing = self._due()
        try:
            found = await anext(self._listing, None)
        except BaseException:
            self._listing = None
            raise
        if found is None:
            self._listing, self._list_time = None, now + self._poll_seconds
        return found

    async def _due(self) -> AsyncGenerator[tuple[Object, int], None]:
        pages = self._reader.folder.pages()
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            ours = [each for each in page if self._reader.form_of(each)]
            async with self._pool.acquire() as conn:
                known = await store.read_progress(conn, *self._key, [each.name for each in ours])
            for each in ours:
                progress = known.get(each.name)
                if progress is None:
                    yield each, 0
                elif progress.version != each.version:
                    log.warning("object changed, read again", object=each.name, was=progress.version, now=each.version)
                    yield each, 0
                elif not progress.is_complete:
                    yield each, progress.records

    async def close(self) -> None:
        if self._listing is not None:
            await self._listing.aclose()
        if self._reading is not None:
            self._reading[2].close()


def _take(records: Iterator[Record], most: int) -> tuple[list[Record], bool]:
    """Some more records, and whether they were the last."""
    taken: list[Record] = []
    size = 0
    for record in records:
        taken.append(record)
        size += len(record.body)
        if len(taken) == most or size > MAX_BATCH_BYTES:
            return taken, False
    return taken, True


@asynccontextmanager
async def _closing(files: Files) -> AsyncIterator[Source]:
    try:
        yield files
    finally:
        await files.close()
