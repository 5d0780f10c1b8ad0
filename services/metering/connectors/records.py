"""What a source gives: records, in batches, each at a position of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from json import JSONDecoder
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

Value: TypeAlias = "str | bool | list[Value] | dict[str, Value] | None"
"""What JSON says, with numbers as text: exactly as they were written."""

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Record:
    """One message, entry, line or row.

    `position` names it in its source, at every delivery alike. `body` is JSON text, or a row whose columns are apart
    already. `metadata` is what the source says beside the body, such as a message's key. `problem` says why the source
    itself could not read the body, which is then as much of it as there is.
    """

    position: str
    body: bytes | dict[str, Value]
    metadata: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are delivered together, perhaps none, and what the source must be told when they are."""

    records: Sequence[Record]
    position: Any


class SourceAway(Exception):
    """The source can't be reached, or refuses; the same call may be made again."""


class Source(Protocol):
    """Where records come from. What has been read and not confirmed comes again, at the latest after a restart."""

    async def read(self) -> Batch | None:
        """The next batch; None when nothing came within a few seconds. Raises SourceAway."""

    async def confirm(self, position: Any) -> None:
        """The records of the batch at `position` are recorded, as events or as dead letters. Raises SourceAway."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record is no event: the event's field, a stable reason, a sentence."""

    field: str
    reason: str
    message: str


class Refused(Exception):
    def __init__(self, field: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(field, reason, message)


def decoded(record: Record) -> dict[str, Value]:
    """The body as an object. Raises Refused RECORD_MALFORMED."""
    if record.problem:
        raise Refused("", "RECORD_MALFORMED", record.problem)
    value = json_in(record.body) if isinstance(record.body, bytes) else record.body
    if not isinstance(value, dict):
        raise Refused("", "RECORD_MALFORMED", "the record is not a JSON object")
    return value


def json_in(text: bytes) -> Value:
    """Raises Refused RECORD_MALFORMED."""
    try:
        value: Value = _DECODER.decode(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Refused("", "RECORD_MALFORMED", f"not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise Refused("", "RECORD_MALFORMED", f"not JSON: {error}") from None
    except RecursionError:
        raise Refused("", "RECORD_MALFORMED", "not JSON that can be read: nested too deep") from None
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


_DECODER = JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse_constant)
