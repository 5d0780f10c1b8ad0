"""Backfills: events that are declared together, and count together or not at all."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from libs.common.errors import FailedPrecondition


class State(StrEnum):
    """OPEN -> CLOSED -> REVERTED, or OPEN -> REVERTED."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    REVERTED = "REVERTED"


@dataclass(frozen=True, slots=True)
class Backfill:
    """Its events count at watermarks in [close_sequence, revert_sequence); None has not happened."""

    backfill_id: str
    state: State
    reason: str
    event_count: int
    create_time: datetime
    close_time: datetime | None
    close_sequence: int | None
    revert_time: datetime | None
    revert_sequence: int | None
    release_time: datetime | None


def require_open(backfill_id: str, state: State) -> None:
    if state is not State.OPEN:
        raise FailedPrecondition(
            "BACKFILL_NOT_OPEN", f"backfill {backfill_id} is {state.lower()}", backfill_id=backfill_id
        )


def require_not_reverted(backfill_id: str, state: State) -> None:
    if state is State.REVERTED:
        raise FailedPrecondition(
            "BACKFILL_REVERTED", f"backfill {backfill_id} is reverted already", backfill_id=backfill_id
        )
