"""Webhooks: rows written with the change they report, sent at least once, retried with growing gaps.

An endpoint is a document of kind `webhook_endpoint` with `url` and `status` in its body and `secret` in private.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import httpx

from sandbox.state import Owner, State

logger = logging.getLogger("sandbox.webhooks")

RETRY_GAPS_SECONDS = (0.2, 1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
ANSWER_TIMEOUT_SECONDS = 10.0
PARALLEL_SENDS = 8

Clock = Callable[[], float]
Signer = Callable[[str, bytes, int], Mapping[str, str]]
"""(secret, body, now in seconds) -> the headers that prove where the body comes from."""


@dataclass(frozen=True, slots=True)
class Delivery:
    seq: int
    processor: str
    event: str
    body: bytes
    attempts: int
    url: str
    secret: str


class Outbox:
    """The delivery rows."""

    def __init__(self, state: State) -> None:
        self._state = state

    def put(self, owner: Owner, endpoint: str, event: str, body: str, now: float) -> None:
        """Ask for one delivery; call it in the transaction that records the event."""
        self._state.connection.execute(
            "INSERT INTO delivery (processor, account, endpoint, event, body, state, attempts, due, outcome)"
            " VALUES (?, ?, ?, ?, ?, 'pending', 0, ?, '')",
            (owner.processor, owner.account, endpoint, event, body, now),
        )

    def pending(self, event: str) -> int:
        row = self._state.connection.execute(
            "SELECT count(*) FROM delivery WHERE event = ? AND state = 'pending'", (event,)
        ).fetchone()
        return int(row[0])

    def counts(self, owner: Owner) -> dict[str, int]:
        rows = self._state.connection.execute(
            "SELECT state, count(*) FROM delivery WHERE processor = ? AND account = ? GROUP BY state",
            (owner.processor, owner.account),
        )
        return {"pending": 0, "delivered": 0, "failed": 0} | {row[0]: row[1] for row in rows}

    def replay(self, event: str | None, copies: int, now: float) -> int:
        """Ask again for every delivery ever asked for, or for those of one event. Returns how many."""
        cursor = self._state.connection.execute(
            "INSERT INTO delivery (processor, account, endpoint, event, body, state, attempts, due, outcome)"
            " WITH RECURSIVE copy (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < :copies)"
            " SELECT processor, account, endpoint, event, body, 'pending', 0, :now, ''"
            " FROM (SELECT DISTINCT processor, account, endpoint, event, body FROM delivery"
            "       WHERE :event IS NULL OR event = :event), copy",
            {"event": event, "copies": copies, "now": now},
        )
        return cursor.rowcount

    def hurry(self, now: float) -> None:
        """Make everything undelivered due at once: after a restart the receiver may well be back."""
        self._state.connection.execute("UPDATE delivery SET due = ? WHERE state = 'pending'", (now,))

    def claim(self, now: float, limit: int, lease_seconds: float) -> list[Delivery]:
        """Take due deliveries; they come back after the lease unless settled. Those without an endpoint fail."""
        with self._state.transaction():
            self._state.connection.execute(
                "UPDATE delivery SET state = 'failed', outcome = 'endpoint deleted or disabled'"
                " WHERE state = 'pending' AND due <= ? AND NOT EXISTS (SELECT 1 FROM document AS d"
                "  WHERE d.processor = delivery.processor AND d.account = delivery.account AND d.id = delivery.endpoint"
                "  AND json_extract(d.body, '$.status') = 'enabled')",
                (now,),
            )
            rows = self._state.connection.execute(
                "SELECT r.seq, r.processor, r.event, r.body, r.attempts, json_extract(d.body, '$.url') AS url,"
                " json_extract(d.private, '$.secret') AS secret FROM delivery AS r"
                " JOIN document AS d ON d.processor = r.processor AND d.account = r.account AND d.id = r.endpoint"
                " WHERE r.state = 'pending' AND r.due <= ? ORDER BY r.due, r.seq LIMIT ?",
                (now, limit),
            ).fetchall()
            self._state.connection.executemany(
                "UPDATE delivery SET due = ? WHERE seq = ?", [(now + lease_seconds, row["seq"]) for row in rows]
            )
        return [Delivery(**{**dict(row), "body": row["body"].encode()}) for row in rows]

    def settle(self, delivery: Delivery, delivered: bool, outcome: str, retry_at: float | None) -> None:
        state = "delivered" if delivered else "failed" if retry_at is None else "pending"
        self._state.connection.execute(
            "UPDATE delivery SET state = ?, attempts = attempts + 1, outcome = ?, due = coalesce(?, due) WHERE seq = ?",
            (state, outcome, retry_at, delivery.seq),
        )

    def next_due(self) -> float | None:
        row = self._state.connection.execute("SELECT min(due) FROM delivery WHERE state = 'pending'").fetchone()
        return None if row[0] is None else float(row[0])


class Deliverer:
    """Sends what is due, at most PARALLEL_SENDS at a time, and sleeps until something is."""

    def __init__(
        self,
        outbox: Outbox,
        signers: Mapping[str, Signer],
        clock: Clock,
        retry_gaps_seconds: Sequence[float] = RETRY_GAPS_SECONDS,
    ) -> None:
        self._outbox = outbox
        self._signers = signers
        self._clock = clock
        self._retry_gaps_seconds = retry_gaps_seconds
        self._wake = asyncio.Event()
        self._sending = 0
        self.running = False
        self.paused = False

    def wake(self) -> None:
        """Look again: deliveries were added, or sending was paused or resumed."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled. A delivery cut short by cancellation stays pending."""
        self._outbox.hurry(self._clock())
        self.running = True
        try:
            async with (
                httpx.AsyncClient(timeout=ANSWER_TIMEOUT_SECONDS, trust_env=False) as client,
                asyncio.TaskGroup() as group,
            ):
                while True:
                    self._wake.clear()
                    for delivery in self._claim():
                        self._sending += 1
                        group.create_task(self._send(client, delivery))
                    await self._sleep()
        finally:
            self.running = False

    def _claim(self) -> list[Delivery]:
        free = 0 if self.paused else PARALLEL_SENDS - self._sending
        return self._outbox.claim(self._clock(), free, 2 * ANSWER_TIMEOUT_SECONDS) if free else []

    async def _sleep(self) -> None:
        due = None if self.paused or self._sending >= PARALLEL_SENDS else self._outbox.next_due()
        delay = None if due is None else max(due - self._clock(), 0.0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._wake.wait()

    async def _send(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        signature = self._signers[delivery.processor](delivery.secret, delivery.body, int(self._clock()))
        headers = {"Content-Type": "application/json; charset=utf-8", **signature}
        try:
            response = await client.post(delivery.url, content=delivery.body, headers=headers)
            delivered, outcome = response.is_success, f"HTTP {response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            delivered, outcome = False, f"{type(error).__name__}: {error}"
        retry_at = None
        if not delivered:
            if delivery.attempts < len(self._retry_gaps_seconds):
                retry_at = self._clock() + self._retry_gaps_seconds[delivery.attempts]
            logger.warning(
                "webhook not accepted", extra={"event": delivery.event, "url": delivery.url, "outcome": outcome}
            )
        self._outbox.settle(delivery, delivered, outcome, retry_at)
        self._sending -= 1
        self._wake.set()
