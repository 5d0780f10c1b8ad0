"""Late usage: what has changed before a time since a watermark, found without going through what has not.

Each bucket that counts all events of a series has their greatest sequence. Where that is not after the watermark,
nothing came late; where it is, the finer buckets tell, and the events of the finest. Events that are not folded yet,
and those of backfills and withdrawn events, are looked at beside.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from libs.common.errors import FailedPrecondition
from libs.common.postgres import Conn
from services.metering.domain.archive import Gap
from services.metering.domain.late_usage import LateAnswers, LateQuestion, LateUsage
from services.metering.domain.meters import Meter
from services.metering.store.adding_up import ADMITTED
from services.metering.store.archive import find_gaps
from services.metering.store.meters import filters_json, list_meters
from services.metering.store.snapshot import snapshot
from services.metering.store.usage import read_head
from services.metering.store.visibility import RECORDED

STATEMENT_SECONDS = 280

_ASKED = """
    asked AS MATERIALIZED (
        SELECT position, since, before, tenant_no, series_no, event_code, depth
        FROM unnest($2::int[], $3::text[], $4::bigint[], $5::timestamptz[])
            AS ask (position, subscription_id, since, before)
        JOIN tenant ON tenant.tenant_id = $1 JOIN series USING (tenant_id, subscription_id)
    )
"""
_TOUCHED = """
    SELECT start_time FROM bucket
    WHERE bucket.tenant_no = wider.tenant_no AND bucket.series_no = wider.series_no AND rollup_no = 0
        AND bucket.width = %s AND start_time < before AND last_sequence > since AND %s
    OFFSET 0
"""
_WITHIN = """
    start_time >= wider.start_time
        AND start_time < wider.start_time + (ARRAY['1 month', '1 day', '1 hour']::interval[])[wider.width + 1]
"""

# The finest buckets that have events after the watermark; months in $6 have finer ones that may lack events.
_SPANS = f"""
    WITH RECURSIVE {_ASKED}, touched AS (
        SELECT wider.*, 0 AS width, start_time
        FROM asked AS wider CROSS JOIN LATERAL ({_TOUCHED % ("0", "true")}) AS found
        UNION ALL
        SELECT position, since, before, tenant_no, series_no, event_code, depth, width + 1, found.start_time
        FROM touched AS wider CROSS JOIN LATERAL ({_TOUCHED % ("wider.width + 1", _WITHIN)}) AS found
        WHERE width < depth AND NOT (width = 0 AND wider.start_time = ANY($6::timestamptz[]))
    )
    SELECT position, series_no, start_time, least(
        before, start_time + (ARRAY['1 month', '1 day', '1 hour', '1 minute']::interval[])[width + 1]
    )
    FROM touched WHERE width = depth OR (width = 0 AND start_time = ANY($6::timestamptz[]))
"""  # noqa: S608 constants only

_FOLDED = """
    SELECT position, event_code, found.* FROM asked
    JOIN unnest($8::int[], $9::int[], $10::timestamptz[], $11::timestamptz[])
        AS span (position, series_no, start_time, end_time) USING (position, series_no)
    CROSS JOIN LATERAL (
        SELECT event_time, properties FROM event
        WHERE event.tenant_no = asked.tenant_no AND event.series_no = asked.series_no
            AND event_time >= span.start_time AND event_time < span.end_time
            AND sequence > asked.since AND sequence <= least($6, $7)
        OFFSET 0
    ) AS found
"""
_UNFOLDED = """
    SELECT position, event_code, event_time, properties FROM unfolded JOIN asked USING (tenant_no, series_no)
    WHERE sequence > since AND event_time < before
"""
_BACKFILLED = """
    SELECT position, event_code, found.*
    FROM (
        SELECT backfill_no, close_sequence AS first, coalesce(revert_sequence, 9223372036854775807) AS last
        FROM backfill
        WHERE tenant_id = $1 AND greatest(close_sequence, revert_sequence) > (SELECT min(asked.since) FROM asked)
    ) AS counted CROSS JOIN LATERAL (
        SELECT series_no, since, until FROM backfill_series WHERE backfill_series.backfill_no = counted.backfill_no
        OFFSET 0
    ) AS place JOIN asked USING (series_no)
    CROSS JOIN LATERAL (
        SELECT event_time, properties FROM event
        WHERE event.tenant_no = asked.tenant_no AND event.series_no = asked.series_no
            AND event_time >= place.since AND event_time <= place.until AND event_time < asked.before
            AND sequence = -backfill_no
        OFFSET 0
    ) AS found
    WHERE (asked.since >= first AND asked.since < last) <> ($6 >= first AND $6 < last)
"""
_WITHDRAWN = f"""
    SELECT position, event_code, event_time, properties FROM asked CROSS JOIN LATERAL (
        SELECT event_time, properties, end_sequence, {RECORDED} AS first FROM withdrawn_event
        WHERE withdrawn_event.tenant_no = asked.tenant_no AND withdrawn_event.series_no = asked.series_no
            AND event_time < before AND end_sequence > since
        OFFSET 0
    ) AS found
    WHERE (since >= first) <> ($6 >= first AND $6 < end_sequence)
"""  # noqa: S608 constants only
_CHANGED = f"""
    WITH {_ASKED}, meter AS MATERIALIZED (
        SELECT * FROM unnest($12::text[], $13::text[], $14::text[]::jsonb[], $15::timestamptz[], $16::timestamptz[])
            AS meter (code, event_code, filters, effective_time, end_time)
    ), unfolded AS MATERIALIZED (
        SELECT tenant_no, series_no, sequence, event_time, properties FROM event
        WHERE sequence > $7 AND sequence <= $6
    ), changed AS (
        {_FOLDED} UNION ALL {_UNFOLDED} UNION ALL {_BACKFILLED} UNION ALL {_WITHDRAWN}
    )
    SELECT position, code, min(event_time), max(event_time), count(*) FROM changed JOIN meter USING (event_code)
    WHERE (effective_time IS NULL OR event_time >= effective_time) AND (end_time IS NULL OR event_time < end_time)
        AND {ADMITTED}
    GROUP BY position, code ORDER BY position, code COLLATE "C"
"""  # noqa: S608 constants only


class _Span(NamedTuple):
    """A bucket with folded events after the watermark of the question at `position`, cut at its time."""

    position: int
    series_no: int
    start: datetime
    end: datetime


async def find_late_usage(
    conn: Conn, tenant_id: str, questions: Sequence[LateQuestion], watermark: int | None
) -> LateAnswers:
    """Answer all questions at one watermark; None is that of the log.

    Raises FailedPrecondition WATERMARK_AHEAD and USAGE_ARCHIVED.
    """
    async with snapshot(conn):
        head = await read_head(conn)
        at = watermark or head
        _require_reached(at, head)
        _require_reached(max(question.since for question in questions), at)
        folded = await conn.fetchval("SELECT folded FROM rollup_progress")
        asked = (
            list(range(len(questions))),
            [question.subscription_id for question in questions],
            [question.since for question in questions],
            [question.before for question in questions],
        )
        gaps = await find_gaps(conn)
        # Events that are not folded are found by sequence, all others one by one, whatever the statistics say.
        await conn.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = off; SET LOCAL jit = off")
        rows = await conn.fetch(_SPANS, tenant_id, *asked, [gap.start for gap in gaps], timeout=STATEMENT_SECONDS)
        spans = [_Span(*row) for row in rows]
        _require_there(spans, questions, gaps)
        meters = await list_meters(conn, tenant_id, None)
        rows = await conn.fetch(
            _CHANGED, tenant_id, *asked, at, folded, *([span[i] for span in spans] for i in range(4)),
            *_definitions([version for each in meters for version in each.known_at(at).versions]),
            timeout=STATEMENT_SECONDS,
        )  # fmt: skip
    found: dict[int, list[LateUsage]] = defaultdict(list)
    for row in rows:
        found[row["position"]].append(LateUsage(*tuple(row)[1:]))
    return LateAnswers([found[position] for position in range(len(questions))], at)


def _definitions(versions: Sequence[Meter]) -> tuple[list[str], list[str], list[str], list[object], list[object]]:
    return (
        [version.code for version in versions],
        [version.event_code for version in versions],
        [filters_json(version) for version in versions],
        [version.since for version in versions],
        [version.until for version in versions],
    )


def _require_there(spans: Sequence[_Span], questions: Sequence[LateQuestion], gaps: Sequence[Gap]) -> None:
    away = {gap.start for gap in gaps if gap.away}
    for span in spans:
        if span.start in away:
            month, subscription_id = f"{span.start:%Y-%m}", questions[span.position].subscription_id
            raise FailedPrecondition(
                "USAGE_ARCHIVED",
                f"usage of {subscription_id!r} came late for {month}, which is archived; restore it and ask again",
                month=month,
                subscription_id=subscription_id,
            )


def _require_reached(asked: int, head: int) -> None:
    if asked > head:
        raise FailedPrecondition(
            "WATERMARK_AHEAD", f"watermark {asked} has not been reached; the answer's is {head}", watermark=str(head)
        )
