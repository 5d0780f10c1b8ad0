"""Which of the recorded events count at a watermark: what every statement that reads single events goes by.

The events of a backfill carry its negative number as their sequence, so that they are below every watermark and above
none: whoever looks for unfolded events never sees them.
"""

COLUMNS = "event_time, sequence, tenant_no, series_no, transaction_id, properties, amount"


def events_at(watermark: str) -> str:
    """A relation: the events, and those withdrawn since `watermark`. It still takes `counts_at`."""
    return f"""(
        SELECT {COLUMNS} FROM event
        UNION ALL
        SELECT {COLUMNS} FROM withdrawn_event WHERE end_sequence > {watermark}
    )"""  # noqa: S608 constants only


def counts_at(watermark: str, tenant: str) -> str:
    """A condition on `sequence`; `tenant` is one on `backfill`. The backfills are read when the first of their events
    is met, once a statement."""
    return f"""
        sequence <= {watermark} AND (sequence > 0 OR sequence IN (
            SELECT -backfill_no FROM backfill
            WHERE {tenant} AND close_sequence <= {watermark}
                AND (revert_sequence IS NULL OR revert_sequence > {watermark})
        ))
    """  # noqa: S608 constants only


RECORDED = """
    CASE WHEN sequence > 0 THEN sequence
        ELSE (SELECT close_sequence FROM backfill WHERE backfill_no = -sequence) END
"""
"""The sequence in the order of recording: of a backfill's events, that of its closing."""
