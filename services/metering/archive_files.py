"""Files of archived events: Parquet, and where it lies. All of this blocks. pyarrow and boto3 come with an extra."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from libs.common.settings import SettingsError
from services.metering.domain.archive import ArchivedEvent

VARIABLE = "WEIR_METERING_ARCHIVE"
ROWS_AT_ONCE = 5_000


def _schema() -> Any:
    import pyarrow

    instant = pyarrow.timestamp("us", tz="UTC")
    return pyarrow.schema(
        [
            pyarrow.field("tenant_id", pyarrow.string(), nullable=False),
            pyarrow.field("subscription_id", pyarrow.string(), nullable=False),
            pyarrow.field("code", pyarrow.string(), nullable=False),
            pyarrow.field("timestamp", instant, nullable=False),
            pyarrow.field("transaction_id", pyarrow.string(), nullable=False),
            pyarrow.field("properties", pyarrow.string(), nullable=False),
            pyarrow.field("amount", pyarrow.decimal128(38, 12)),
            pyarrow.field("sequence", pyarrow.int64(), nullable=False),
            pyarrow.field("record_time", instant),
        ]
    )


class EventFile:
    """A Parquet file of one tenant's events, being written."""

    def __init__(self, path: Path, tenant_id: str) -> None:
        from pyarrow.parquet import ParquetWriter

        self._tenant_id = tenant_id
        self._schema = _schema()
        self._writer = ParquetWriter(path, self._schema, compression="zstd")

    def write(self, events: Sequence[ArchivedEvent]) -> None:
        import pyarrow

        columns = [[self._tenant_id] * len(events), *zip(*events, strict=True)]
        arrays = [pyarrow.array(column, type=field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_batch(pyarrow.record_batch(arrays, schema=self._schema))

    def __enter__(self) -> "EventFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def read_events(stream: IO[bytes]) -> Iterator[list[ArchivedEvent]]:
    """Some thousand at a time, in the order of the file."""
    from pyarrow.parquet import ParquetFile

    names = list(ArchivedEvent._fields)
    for batch in ParquetFile(stream).iter_batches(ROWS_AT_ONCE, columns=names):
        columns = [batch.column(name).to_pylist() for name in names]
        yield [ArchivedEvent(*row) for row in zip(*columns, strict=True)]


class Storage(Protocol):
    """Where files lie."""

    def put(self, path: Path, name: str) -> str:
        """Copy the file there, as a whole or not at all; returns its location, a URL."""

    def open(self, location: str) -> IO[bytes]:
        """Contents that can be sought in."""


def storage(url: str) -> Storage:
    """file:///folder, or s3://bucket/prefix with the options region and endpoint_url as its query. Credentials come as
    the AWS SDK finds them. Raises SettingsError."""
    parts = urlsplit(url)
    try:
        if parts.scheme == "file" and not parts.netloc and parts.path:
            import pyarrow  # noqa: F401 told at the start where it is missing

            return _Folder(Path(parts.path))
        if parts.scheme == "s3" and parts.netloc:
            return _bucket(parts.netloc, parts.path.strip("/"), dict(parse_qsl(parts.query)))
    except ImportError as error:
        raise SettingsError(f"{VARIABLE} needs the extra [connectors]: {error}") from None
    raise SettingsError(f"{VARIABLE} is {url!r}; it must be file:///folder or s3://bucket/prefix")


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, path: Path, name: str) -> str:
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.unfinished")
        with path.open("rb") as source, unfinished.open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        unfinished.replace(target)
        _sync(target.parent)
        return target.as_uri()

    def open(self, location: str) -> IO[bytes]:
        return Path(urlsplit(location).path).open("rb")


def _sync(folder: Path) -> None:
    """So that the names in it survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bucket(name: str, prefix: str, options: dict[str, str]) -> Storage:
    import boto3
    import pyarrow  # noqa: F401 as above
    from botocore.exceptions import BotoCoreError

    region, endpoint_url = options.pop("region", None), options.pop("endpoint_url", None)
    if options:
        raise SettingsError(f"{VARIABLE}: there is no option {min(options)}")
    try:
        return _Bucket(boto3.client("s3", region_name=region, endpoint_url=endpoint_url), name, prefix)
    except (BotoCoreError, ValueError) as error:
        raise SettingsError(f"{VARIABLE}: {error}") from None


class _Bucket:
    def __init__(self, client: Any, name: str, prefix: str) -> None:
        self._client = client
        self._name = name
        self._prefix = f"{prefix}/" if prefix else ""

    def put(self, path: Path, name: str) -> str:
        self._client.upload_file(str(path), self._name, self._prefix + name)
        return f"s3://{self._name}/{self._prefix}{name}"

    def open(self, location: str) -> IO[bytes]:
        place = urlsplit(location)
        copy = tempfile.TemporaryFile()  # noqa: SIM115 the caller closes it
        self._client.download_fileobj(place.netloc, place.path.removeprefix("/"), copy)
        copy.seek(0)
        return copy
