"""What the sandbox remembers: one SQLite file for all processors, so that a restart finds everything again.

A *document* is an object of a processor's API (customer, payment intent, event, ...). Its `body` is exactly what
the API answers; `private` is what the processor knows but never tells (how a test card behaves, a signing secret).
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
  seq       INTEGER PRIMARY KEY AUTOINCREMENT,
  processor TEXT    NOT NULL,
  account   TEXT    NOT NULL,
  kind      TEXT    NOT NULL,
  id        TEXT    NOT NULL,
  created   INTEGER NOT NULL,
  body      TEXT    NOT NULL CHECK (json_valid(body)),
  private   TEXT    NOT NULL CHECK (json_valid(private)),
  UNIQUE (processor, account, id)
);
CREATE INDEX IF NOT EXISTS document_by_kind ON document (processor, account, kind, seq);

CREATE TABLE IF NOT EXISTS idempotency_key (
  processor   TEXT    NOT NULL,
  account     TEXT    NOT NULL,
  key         TEXT    NOT NULL,
  path        TEXT    NOT NULL,
  fingerprint TEXT    NOT NULL,
  request_id  TEXT    NOT NULL,
  status      INTEGER NOT NULL,
  body        TEXT    NOT NULL,
  created     INTEGER NOT NULL,
  PRIMARY KEY (processor, account, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS delivery (
  seq       INTEGER PRIMARY KEY AUTOINCREMENT,
  processor TEXT    NOT NULL,
  account   TEXT    NOT NULL,
  endpoint  TEXT    NOT NULL,
  event     TEXT    NOT NULL,
  body      TEXT    NOT NULL,
  state     TEXT    NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
  attempts  INTEGER NOT NULL,
  due       REAL    NOT NULL,
  outcome   TEXT    NOT NULL
);
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (due) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS delivery_of_event ON delivery (event);
"""

MATCHING = """
SELECT id, body, private FROM document
WHERE processor = :processor AND account = :account AND kind = :kind
  AND created BETWEEN :since AND :until
  AND (:newer_than IS NULL OR seq > (
    SELECT seq FROM document WHERE processor = :processor AND account = :account AND id = :newer_than))
  AND (:older_than IS NULL OR seq < (
    SELECT seq FROM document WHERE processor = :processor AND account = :account AND id = :older_than))
  AND NOT EXISTS (
    SELECT 1 FROM json_each(:filters) AS filter
    WHERE coalesce(json_extract(body, '$.' || filter.key), '') NOT IN (SELECT value FROM json_each(filter.value)))
"""
NEWEST_FIRST = MATCHING + "ORDER BY seq DESC LIMIT :limit"
OLDEST_FIRST = MATCHING + "ORDER BY seq LIMIT :limit"


class StateInUseError(Exception):
    """Another process holds this data directory."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose state it is: one account at one processor. Accounts never see each other."""

    processor: str
    account: str


@dataclass(frozen=True, slots=True)
class Document:
    id: str
    body: Json
    private: Json


@dataclass(frozen=True, slots=True)
class Query:
    """A page of documents. `filters` maps a field of the body to its allowed values; `since` and `until` (seconds,
    inclusive) bound `created`; `older_than` and `newer_than` are ids, at most one of them set."""

    filters: Mapping[str, Sequence[str]]
    limit: int
    since: int = 0
    until: int = 2**62
    older_than: str | None = None
    newer_than: str | None = None


class State:
    """One connection, one writer: every request runs to its commit before the next one starts."""

    def __init__(self, path: Path | str) -> None:
        """Open or create the file; `:memory:` forgets on close. Raises StateInUseError if another process has it."""
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        self.connection.row_factory = sqlite3.Row
        try:
            self.connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = NORMAL")
            version = self.connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA_VERSION):
                raise StateInUseError(
                    f"{path} was written by another version of the sandbox; delete it to start afresh"
                )
            self.connection.executescript(SCHEMA)
            self.connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except sqlite3.OperationalError as error:
            self.connection.close()
            raise StateInUseError(f"{path}: {error}; is another sandbox running on it?") from error

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, roll back on any exception. The body must not await."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def insert(self, owner: Owner, kind: str, body: Json, private: Json, created: int) -> None:
        self.connection.execute(
            "INSERT INTO document (processor, account, kind, id, created, body, private) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (owner.processor, owner.account, kind, body["id"], created, json.dumps(body), json.dumps(private)),
        )

    def replace(self, owner: Owner, body: Json, private: Json) -> None:
        self.connection.execute(
            "UPDATE document SET body = ?, private = ? WHERE processor = ? AND account = ? AND id = ?",
            (json.dumps(body), json.dumps(private), owner.processor, owner.account, body["id"]),
        )

    def delete(self, owner: Owner, document_id: str) -> None:
        self.connection.execute(
            "DELETE FROM document WHERE processor = ? AND account = ? AND id = ?",
            (owner.processor, owner.account, document_id),
        )

    def get(self, owner: Owner, kind: str, document_id: str) -> Document | None:
        row = self.connection.execute(
            "SELECT id, body, private FROM document WHERE processor = ? AND account = ? AND kind = ? AND id = ?",
            (owner.processor, owner.account, kind, document_id),
        ).fetchone()
        return None if row is None else _document(row)

    def select(self, owner: Owner, kind: str, query: Query) -> list[Document]:
        """Newest first. With `newer_than` the page is the one just above that document."""
        statement = NEWEST_FIRST if query.newer_than is None else OLDEST_FIRST
        rows = self.connection.execute(
            statement,
            {
                "processor": owner.processor,
                "account": owner.account,
                "kind": kind,
                "since": query.since,
                "until": query.until,
                "newer_than": query.newer_than,
                "older_than": query.older_than,
                "filters": json.dumps({field: list(values) for field, values in query.filters.items()}),
                "limit": query.limit,
            },
        ).fetchall()
        found = [_document(row) for row in rows]
        return found if query.newer_than is None else found[::-1]

    def every(self, owner: Owner, kind: str) -> list[Document]:
        """All documents of a kind, oldest first."""
        return self.select(owner, kind, Query(filters={}, limit=-1))[::-1]

    def owners(self, processor: str) -> list[Owner]:
        rows = self.connection.execute(
            "SELECT account FROM document WHERE processor = ? GROUP BY account ORDER BY min(seq)", (processor,)
        )
        return [Owner(processor, row["account"]) for row in rows]

    def owner_of(self, processor: str, document_id: str) -> Owner | None:
        row = self.connection.execute(
            "SELECT account FROM document WHERE processor = ? AND id = ?", (processor, document_id)
        ).fetchone()
        return None if row is None else Owner(processor, row["account"])


def _document(row: sqlite3.Row) -> Document:
    return Document(row["id"], json.loads(row["body"]), json.loads(row["private"]))
