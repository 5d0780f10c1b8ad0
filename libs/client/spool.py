"""Events on local disk until the service has answered for them: one SQLite database in WAL mode, all SQL of the client.

A commit appends to the log and, with `durable="disk"`, waits for the disk. Without that wait the event is with the
operating system, which is enough when only the process dies; the machine's crash then loses the last moments, and
never the database. What takes long, moving the log into the database, is `checkpoint`, which blocks no writer.

Several processes may share a directory: SQLite lets one write at a time, and one sends for all. It needs a local file
system, as SQLite's WAL mode does.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from libs.common.errors import FailedPrecondition, ResourceExhausted

Durability = Literal["process", "disk"]
"""What a recorded event survives: the end of the process, however it comes, or also that of the machine."""

SYNCHRONOUS = {"process": "NORMAL", "disk": "FULL"}
BUSY_SECONDS = 30.0
UNLIMITED_PAGES = 2**32 - 2
LOG_PAGES = 10_000
"""A writer moves the log itself once it is this long (40 MB): `checkpoint` is not keeping up."""

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS owner (tenant_id TEXT NOT NULL)",
    # An id is never given twice: who reads on from one misses nothing.
    "CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY AUTOINCREMENT, message BLOB NOT NULL)",
    """CREATE TABLE IF NOT EXISTS refused (id INTEGER PRIMARY KEY, message BLOB NOT NULL,
       field TEXT NOT NULL, reason TEXT NOT NULL, explanation TEXT NOT NULL)""",
)


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """`id` orders events by when they were recorded; `message` is the Event, written out."""

    id: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the service will not record an event as it is: the wrong field, a stable reason, a sentence."""

    event: SpooledEvent
    field: str
    reason: str
    explanation: str


class Spool:
    """May be used from any thread, and not across a fork. Raises sqlite3.Error where the disk fails."""

    def __init__(self, directory: Path, tenant_id: str, durable: Durability, limit_bytes: int) -> None:
        """Raises FailedPrecondition SPOOL_OF_ANOTHER_TENANT: nobody's usage is sent with somebody else's key."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._checkpoint_lock = threading.Lock()
        self._sending = self._connect("sending.lock", busy_seconds=0)
        self._conn = self._connect("spool.db", busy_seconds=BUSY_SECONDS)
        self._checkpointer = self._connect("spool.db", busy_seconds=BUSY_SECONDS)
        try:
            with closing(self._connect("opening.lock", busy_seconds=BUSY_SECONDS)) as opening:
                opening.execute("BEGIN EXCLUSIVE")  # SQLite does not wait where two turn to WAL mode at once
                self._prepare(durable, tenant_id)
            [page_bytes] = self._conn.execute("PRAGMA page_size").fetchone()
            self._limit_pages = limit_bytes // page_bytes
            self._limit(self._limit_pages)
        except BaseException:
            self.close()
            raise

    def _connect(self, name: str, *, busy_seconds: float) -> sqlite3.Connection:
        path = self._directory / name
        return sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)

    def _prepare(self, durable: Durability, tenant_id: str) -> None:
        self._conn.execute("PRAGMA journal_mode = WAL")
        self._conn.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durable]}")
        self._conn.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        with self._transaction() as conn:
            for statement in SCHEMA:
                conn.execute(statement)
            conn.execute("INSERT INTO owner SELECT ? WHERE NOT EXISTS (SELECT * FROM owner)", (tenant_id,))
            [owner] = conn.execute("SELECT tenant_id FROM owner").fetchone()
            if owner != tenant_id:
                raise FailedPrecondition(
                    "SPOOL_OF_ANOTHER_TENANT",
                    f"{self._directory} is for events of {owner}, and the API key is {tenant_id}'s",
                    tenant_id=owner,
                )

    def add(self, messages: Sequence[bytes]) -> None:
        """All or none. Raises ResourceExhausted SPOOL_FULL where the limit, or the disk, leaves no room for them."""
        try:
            with self._transaction() as conn:
                conn.executemany("INSERT INTO event (message) VALUES (?)", ((each,) for each in messages))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            raise ResourceExhausted(
                "SPOOL_FULL", f"{self._directory} has no room for {len(messages)} more events", retry_after_ms=1000
            ) from None

    def read(self, after: int, count: int) -> list[SpooledEvent]:
        """The next `count` events after the id `after`."""
        query = "SELECT id, message FROM event WHERE id > ? ORDER BY id LIMIT ?"
        return [SpooledEvent(*row) for row in self._rows(query, after, count)]

    def settle(self, events: Sequence[SpooledEvent], refusals: Sequence[Refusal]) -> None:
        """Remove events as they were read, all of them answered, and keep those refused. May exceed the limit."""
        with self._transaction() as conn:
            self._limit(UNLIMITED_PAGES)
            try:
                conn.execute("DELETE FROM event WHERE id BETWEEN ? AND ?", (events[0].id, events[-1].id))
                conn.executemany(
                    "INSERT OR IGNORE INTO refused VALUES (?, ?, ?, ?, ?)",
                    [
                        (each.event.id, each.event.message, each.field, each.reason, each.explanation)
                        for each in refusals
                    ],
                )
            finally:
                self._limit(self._limit_pages)

    def last_id(self) -> int:
        """Of all events ever recorded; 0 before the first."""
        return sum(last for (last,) in self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'event'"))

    def holds_until(self, last: int) -> bool:
        """Whether an event up to the id `last` is still without an answer."""
        return bool(self._rows("SELECT 1 FROM event WHERE id <= ? LIMIT 1", last))

    def waiting(self) -> int:
        [(count,)] = self._rows("SELECT count(*) FROM event")
        return int(count)

    def refusals(self, after: int, count: int) -> list[Refusal]:
        query = "SELECT id, message, field, reason, explanation FROM refused WHERE id > ? ORDER BY id LIMIT ?"
        return [Refusal(SpooledEvent(row[0], row[1]), *row[2:]) for row in self._rows(query, after, count)]

    def forget(self, refused_ids: Iterable[int]) -> None:
        ids = [(each,) for each in refused_ids]
        with self._transaction() as conn:
            conn.executemany("DELETE FROM refused WHERE id = ?", ids)

    def checkpoint(self) -> None:
        """Move what can be moved from the log into the database."""
        with self._checkpoint_lock:
            self._checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def claim_sending(self) -> bool:
        """Whether this object now is the one that sends. It stays so until it is closed or its process ends."""
        try:
            if not self._sending.in_transaction:
                self._sending.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    def close(self) -> None:
        with self._lock, self._checkpoint_lock:
            for conn in (self._checkpointer, self._conn, self._sending):
                conn.close()

    def _limit(self, pages: int) -> None:
        self._conn.execute(f"PRAGMA max_page_count = {pages}").fetchall()

    def _rows(self, query: str, *parameters: int) -> list[Any]:
        with self._exclusive():
            return self._conn.execute(query, parameters).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._exclusive():
            self._conn.execute("BEGIN IMMEDIATE")
            try:
                yield self._conn
                self._conn.execute("COMMIT")
            except BaseException:
                if self._conn.in_transaction:
                    self._conn.execute("ROLLBACK")
                raise

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if os.getpid() != self._pid:
            raise FailedPrecondition("SPOOL_FORKED", "this process was forked from the one that made the client")
        with self._lock:
            yield
