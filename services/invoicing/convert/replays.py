"""Daily replays."""

from libs.common.wire import money_out, timestamp_out
from services.invoicing.convert.times import date_out
from services.invoicing.domain.replay import DailyReplay, Difference
from weir.invoicing.v1 import replays_pb2


def replay_out(replay: DailyReplay) -> replays_pb2.Replay:
    return replays_pb2.Replay(
        day=date_out(replay.day),
        create_time=timestamp_out(replay.create_time),
        sample_count=replay.sample_count,
        waiting_count=replay.waiting_count,
        reproduced_count=replay.reproduced_count,
        differences=map(_difference_out, replay.differences),
    )


def _difference_out(difference: Difference) -> replays_pb2.ReplayDifference:
    result = difference.replayed
    return replays_pb2.ReplayDifference(
        invoice_id=result.invoice_id,
        invoice_number=difference.number,
        total=money_out(difference.total),
        recomputed_total=None if result.recomputed_total is None else money_out(result.recomputed_total),
        line_numbers=result.line_numbers,
        failure_reason=result.failure_reason or "",
        failure_message=result.failure_message or "",
    )
