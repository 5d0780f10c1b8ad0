"""Backfills and amendments."""

import json

from libs.common.errors import InvalidArgument
from libs.common.money import plain
from libs.common.paging import Page
from libs.common.wire import text_in, timestamp_in, timestamp_out
from services.metering.domain.amendments import Amendment, Change, Contents
from services.metering.domain.backfills import Backfill, State
from services.metering.domain.events import Refusal
from weir.metering.v1 import corrections_pb2, metering_pb2

MAX_REASON = 1_000
MAX_CHANGES = 1_000

_STATES = {
    corrections_pb2.Backfill.STATE_OPEN: State.OPEN,
    corrections_pb2.Backfill.STATE_CLOSED: State.CLOSED,
    corrections_pb2.Backfill.STATE_REVERTED: State.REVERTED,
}
_STATES_OUT = {state: number for number, state in _STATES.items()}


def reason_in(reason: str, field: str = "reason") -> str:
    return text_in(reason, field, most=MAX_REASON)


def backfill_state_in(state: corrections_pb2.Backfill.State.ValueType) -> State | None:
    if state and state not in _STATES:
        raise InvalidArgument("ENUM_VALUE_UNKNOWN", f"state is {state}", field="state")
    return _STATES.get(state)


def backfill_out(backfill: Backfill) -> corrections_pb2.Backfill:
    return corrections_pb2.Backfill(
        id=backfill.backfill_id,
        state=_STATES_OUT[backfill.state],
        reason=backfill.reason,
        event_count=backfill.event_count,
        create_time=timestamp_out(backfill.create_time),
        close_time=timestamp_out(backfill.close_time),
        revert_time=timestamp_out(backfill.revert_time),
        release_time=timestamp_out(backfill.release_time),
        close_watermark=backfill.close_sequence or 0,
        revert_watermark=backfill.revert_sequence or 0,
    )


def changes_in(
    request: corrections_pb2.AmendEventsRequest,
) -> tuple[list[tuple[Change, metering_pb2.Event | None]], list[Refusal]]:
    """Each change with its replacement, if it has one; and those replacements that are of another event."""
    if not request.changes:
        raise InvalidArgument("AMENDMENTS_EMPTY", "changes is empty", field="changes")
    if len(request.changes) > MAX_CHANGES:
        raise InvalidArgument(
            "AMENDMENTS_TOO_MANY", f"{len(request.changes)} changes, {MAX_CHANGES} at most", field="changes"
        )
    changes: list[tuple[Change, metering_pb2.Event | None]] = []
    wrong: list[Refusal] = []
    for index, sent in enumerate(request.changes):
        replacement = sent.replacement if sent.HasField("replacement") else None
        changes.append((_change_in(sent, f"changes[{index}]"), replacement))
        for field in ("subscription_id", "transaction_id"):
            if replacement is not None and getattr(replacement, field) != getattr(sent, field):
                message = f"replacement.{field} is not that of the event; an event keeps its identity"
                wrong.append(Refusal(index, f"replacement.{field}", "IDENTITY_FIXED", message))
    return changes, wrong


def _change_in(sent: corrections_pb2.EventChange, path: str) -> Change:
    return Change(
        subscription_id=text_in(sent.subscription_id, f"{path}.subscription_id"),
        transaction_id=text_in(sent.transaction_id, f"{path}.transaction_id"),
        event_time=timestamp_in(sent.timestamp, sent.HasField("timestamp"), f"{path}.timestamp"),
        expected_amendment_id=text_in(sent.expected_amendment_id, f"{path}.expected_amendment_id", required=False),
        reason=reason_in(sent.reason, f"{path}.reason"),
    )


def failures_out(refusals: list[Refusal]) -> list[metering_pb2.EventFailure]:
    """By index, one for each change."""
    first = {each.index: each for each in reversed(refusals)}
    return [
        metering_pb2.EventFailure(index=each.index, field=each.field, reason=each.reason, message=each.message)
        for _, each in sorted(first.items())
    ]


def after_in(page: Page) -> tuple[int, str] | None:
    """Sequence and id of an amendment, as `key_out` wrote them."""
    if page.after is None:
        return None
    sequence, colon, amendment_id = page.after.partition(":")
    if not (colon and sequence.isdecimal() and sequence.isascii() and len(sequence) <= 18):
        raise InvalidArgument(
            "PAGE_TOKEN_INVALID", "page_token is not one that an answer contained", field="page_token"
        )
    return int(sequence), amendment_id


def key_out(amendment: Amendment) -> str:
    """What a page token holds."""
    return f"{amendment.sequence}:{amendment.amendment_id}"


def amendment_out(amendment: Amendment) -> corrections_pb2.Amendment:
    return corrections_pb2.Amendment(
        id=amendment.amendment_id,
        replaced=_event_out(amendment, amendment.replaced),
        replacement=_event_out(amendment, amendment.replacement) if amendment.replacement else None,
        reason=amendment.reason,
        create_time=timestamp_out(amendment.create_time),
        watermark=amendment.sequence,
    )


def _event_out(amendment: Amendment, contents: Contents) -> metering_pb2.Event:
    return metering_pb2.Event(
        transaction_id=amendment.transaction_id,
        subscription_id=amendment.subscription_id,
        code=contents.code,
        timestamp=timestamp_out(contents.event_time),
        properties=json.loads(contents.properties),
        amount=plain(contents.amount) if contents.amount is not None else "",
    )
