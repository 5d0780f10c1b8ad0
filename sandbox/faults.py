"""Faults a test can order for the next requests that match a method and a path."""

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class FaultKind(StrEnum):
    DROP_BEFORE_COMMIT = "drop_before_commit"
    """Close the connection without an answer; nothing happened."""
    DROP_AFTER_COMMIT = "drop_after_commit"
    """Do what was asked, commit it, close the connection without an answer."""
    ERROR_500 = "error_500"
    """Answer 500 without doing anything; the answer is kept under the idempotency key, as the processor does."""
    ERROR_503 = "error_503"
    """Answer 503 before anything is looked at; a retry finds the processor well."""
    RATE_LIMIT_429 = "rate_limit_429"
    """Answer 429 before anything is looked at."""
    DELAY = "delay"
    """Wait `seconds` with the idempotency key held, then do what was asked and answer."""


@dataclass(slots=True)
class Fault:
    """`path` may contain `*`; `times` counts down to 0; `seconds` is for DELAY."""

    method: str
    path: str
    kind: FaultKind
    times: int = 1
    seconds: float = 0.0


class Faults:
    """The ordered faults, first in first out. They are forgotten on restart."""

    def __init__(self) -> None:
        self.pending: list[Fault] = []

    def take(self, method: str, path: str) -> Fault | None:
        for fault in self.pending:
            if fault.method in ("*", method) and fnmatchcase(path, fault.path):
                fault.times -= 1
                self.pending = [left for left in self.pending if left.times > 0]
                return fault
        return None
