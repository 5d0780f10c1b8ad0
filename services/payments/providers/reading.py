"""Reading what a processor sent: verified, and yet it may be anything."""

import hashlib
from collections.abc import AsyncIterator

from services.payments.providers import Event, RefundSighting, Sighting, Subject

MALFORMED = ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError
"""What reading raises where something is not as the processor's documentation has it."""


def unreadable(body: bytes, error: Exception) -> Event:
    """Kept for a person, under a name made of its contents."""
    name = "sha256_" + hashlib.sha256(body).hexdigest()
    return Event(name, "", Subject.OTHER, "", body, error=f"malformed: {type(error).__name__}")


MOST_TEXT = 500
"""Longer than any id of a processor; an index takes no more than a few times as much."""


def text_in(value: object) -> str:
    """Raises ValueError for what is no id, and what a text column does not take."""
    if not isinstance(value, str) or not 0 < len(value) <= MOST_TEXT or "\0" in value:
        raise ValueError(value)
    value.encode()
    return value


async def no_events() -> AsyncIterator[Event]:
    """For processors that list none."""
    return
    yield


async def no_records() -> AsyncIterator[Sighting | RefundSighting]:
    """For processors that list none."""
    return
    yield
