"""The worker's sweep for alerts: events make windows due, and windows that are due are evaluated.

The rows are the jobs: those of `alert_due` are inserted with the progress through the log, and deleted with the
triggers that came of them and the messages about these. A worker that is killed has done nothing; any number may work.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import structlog
from google.protobuf.json_format import MessageToDict

from libs.common.clock import Clock
from libs.common.errors import FailedPrecondition
from libs.common.ids import new_id
from libs.common.postgres import Conn, Pool
from libs.common.worker import Sweep
from services.metering import convert, store
from services.metering.domain.alerts import Alert, Evaluation, Trigger, crossed, windows_of
from services.metering.domain.usage import Asked, Question
from services.metering.store import alerting
from services.metering.store.alerting import Touched, Watched, WindowKey

log = structlog.get_logger()

SEEK_BATCHES = 200
CLAIM_JOBS = 500
TRIGGERED = "alert.triggered"


class Alerter:
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def sweeps(self) -> Mapping[str, Sweep]:
        return {"alerts": self.alert}

    async def alert(self) -> bool:
        """Look through some of the log, then evaluate what is due. True if there may be more.

        A tenant that can't be evaluated does not keep the others from it.
        """
        more = await self._seek()
        async with self._pool.acquire() as conn:
            tenants = await alerting.due_tenants(conn)
        failures = []
        for tenant_id in tenants:
            try:
                more = await self._evaluate(tenant_id) or more
            except Exception as error:  # noqa: BLE001 raised below
                failures.append(error)
        if failures:
            raise ExceptionGroup("alerts not evaluated", failures)
        return more

    async def _seek(self) -> bool:
        """Make due what the next events may have changed."""
        async with self._pool.acquire() as conn, conn.transaction():
            span = await alerting.claim_span(conn, SEEK_BATCHES)
            if span is None:
                return False
            sought, until, head = span
            for touched in await alerting.touched_alerts(conn, sought, until):
                await _make_due(conn, touched, until)
            await alerting.move_sought(conn, until)
        return until < head

    async def _evaluate(self, tenant_id: str) -> bool:
        """Some windows of a tenant, in one transaction; usage is read beside it, before anything is locked but jobs."""
        async with self._pool.acquire() as conn, conn.transaction():
            jobs = await alerting.claim_due(conn, tenant_id, CLAIM_JOBS)
            if not jobs:
                return False
            windows = sorted({key for key, _ in jobs})
            watched = await _watched(conn, tenant_id, windows)
            windows = [key for key in windows if key[0] in watched]
            found = await self._measure(tenant_id, watched, windows)
            await self._begin(conn, tenant_id, watched, windows)
            await self._settle(conn, tenant_id, windows, found)
            await alerting.finish_due(conn, tenant_id, jobs)
        return len(jobs) == CLAIM_JOBS

    async def _measure(
        self, tenant_id: str, watched: Mapping[str, Watched], windows: Sequence[WindowKey], watermark: int | None = None
    ) -> list[tuple[str, Evaluation]]:
        """Of each window, with its alert's code. Those that need archived events are left out."""
        if not windows:
            return []
        asked = [_asked(watched[code].alert, *period) for code, period in windows]
        try:
            async with self._pool.acquire() as conn:
                answers = await store.read_usage(conn, tenant_id, asked, watermark)
        except FailedPrecondition as archived:
            if archived.reason != "USAGE_ARCHIVED":
                raise
            if len(windows) > 1:
                each = [await self._measure(tenant_id, watched, [key], watermark) for key in windows]
                return [found for one in each for found in one]
            log.warning("alert not evaluated", tenant=tenant_id, alert=windows[0][0], cause=str(archived))
            return []
        return [
            (code, Evaluation(period, usages[0].quantity, answers.watermark))
            for (code, period), usages in zip(windows, answers.usages, strict=True)
        ]

    async def _begin(
        self, conn: Conn, tenant_id: str, watched: Mapping[str, Watched], windows: Sequence[WindowKey]
    ) -> None:
        """A window begins with 0; one that was over when the alert was made, or purged, with what it had come to."""
        known = await alerting.evaluations(conn, tenant_id, windows)
        baselines: list[tuple[WindowKey, Decimal, int]] = []
        over: dict[int, list[WindowKey]] = defaultdict(list)
        for key in (each for each in windows if each not in known):
            code, (_, end) = key
            if (at := watched[code].begins_at(end)) is None:
                baselines.append((key, Decimal(0), 0))
            else:
                over[at].append(key)
        for at, keys in over.items():
            measured = await self._measure(tenant_id, watched, keys, at)
            baselines += [((code, each.period), each.quantity, at) for code, each in measured]
        await alerting.begin_windows(conn, tenant_id, baselines, self._clock())

    async def _settle(
        self, conn: Conn, tenant_id: str, windows: Sequence[WindowKey], found: Sequence[tuple[str, Evaluation]]
    ) -> None:
        """Triggers by what is there now: somebody else may have evaluated a window further, or changed its alert."""
        watched = await _watched(conn, tenant_id, windows, hold=True)
        known = await alerting.evaluations(conn, tenant_id, windows, hold=True)
        triggers: list[Trigger] = []
        for code, evaluation in found:
            if (code, evaluation.period) not in known:
                continue  # what it begins with is archived
            previous, watermark = known[code, evaluation.period]
            if code in watched and watermark < evaluation.watermark:
                triggers += self._triggers(watched[code].alert, previous, evaluation)
        await alerting.save_evaluations(conn, tenant_id, found, self._clock())
        if triggers:
            await self._tell(conn, tenant_id, triggers)

    def _triggers(self, alert: Alert, previous: Decimal, evaluation: Evaluation) -> list[Trigger]:
        now = self._clock()
        crossings = crossed(alert.direction, alert.thresholds, alert.recurring_step, previous, evaluation.quantity)
        whose = alert.code, alert.subscription_id, alert.meter_code
        return [Trigger(new_id("alt", now), *whose, each, previous, evaluation, now) for each in crossings]

    async def _tell(self, conn: Conn, tenant_id: str, triggers: Sequence[Trigger]) -> None:
        fresh = await alerting.insert_triggers(conn, tenant_id, triggers)
        messages = [(each.id, json.dumps(_payload(each))) for each in triggers if each.id in fresh]
        await alerting.insert_outbox(conn, tenant_id, TRIGGERED, messages, self._clock())


async def _make_due(conn: Conn, touched: Touched, until: int) -> None:
    windows = windows_of(touched.quarters, touched.window, touched.zone)
    await alerting.make_due(conn, [(touched.tenant_id, touched.code, period) for period in windows], until)
    if touched.carries_on:
        await alerting.make_later_due(conn, touched.tenant_id, touched.code, windows[0][0], until)


async def _watched(
    conn: Conn, tenant_id: str, windows: Collection[WindowKey], *, hold: bool = False
) -> dict[str, Watched]:
    found = await alerting.watched_alerts(conn, tenant_id, {code for code, _ in windows}, hold=hold)
    return {each.alert.code: each for each in found}


def _asked(alert: Alert, start: datetime, end: datetime) -> Asked:
    question = Question([alert.meter_code], start, end, filters=alert.filters, zone=alert.zone)
    return alert.subscription_id, question


def _payload(trigger: Trigger) -> dict[str, object]:
    """The contract's JSON."""
    return MessageToDict(convert.trigger_out(trigger), preserving_proto_field_name=True)
