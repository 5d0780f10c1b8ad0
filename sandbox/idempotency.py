"""Idempotency keys: which key was used for which request, and what was answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.state import Owner, State


class KeyInUseError(Exception):
    """A request with this key is being executed right now."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The first answer given under a key; `fingerprint` identifies the request it was given to."""

    path: str
    fingerprint: str
    request_id: str
    status: int
    body: str
    created: int


class IdempotencyKeys:
    """Keys are per account. Answers live in the state, keys being worked on in memory: a crash frees them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._held: set[tuple[Owner, str]] = set()

    @contextmanager
    def hold(self, owner: Owner, key: str) -> Iterator[None]:
        """Keep others off `key` while its request is executed. Raises KeyInUseError."""
        if (owner, key) in self._held:
            raise KeyInUseError(key)
        self._held.add((owner, key))
        try:
            yield
        finally:
            self._held.discard((owner, key))

    def find(self, owner: Owner, key: str, not_before: int) -> Answered | None:
        """The answer saved under `key` at `not_before` (seconds) or later."""
        row = self._state.connection.execute(
            "SELECT path, fingerprint, request_id, status, body, created FROM idempotency_key"
            " WHERE processor = ? AND account = ? AND key = ? AND created >= ?",
            (owner.processor, owner.account, key, not_before),
        ).fetchone()
        return None if row is None else Answered(*row)

    def save(self, owner: Owner, key: str, answer: Answered) -> None:
        """Remember the answer; call it in the transaction that made it true. Replaces only an expired one."""
        self._state.connection.execute(
            "INSERT OR REPLACE INTO idempotency_key"
            " (processor, account, key, path, fingerprint, request_id, status, body, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                owner.processor,
                owner.account,
                key,
                answer.path,
                answer.fingerprint,
                answer.request_id,
                answer.status,
                answer.body,
                answer.created,
            ),
        )
