"""Instants as records write them."""

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,12})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_UNIX = re.compile(r"(-?)(\d{1,17})(?:\.(\d{1,12}))?", re.ASCII)
_UNIX_DIGITS = {"unix_s": 6, "unix_ms": 3, "unix_us": 0}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_SHOWN = 64

FORMATS = ("rfc3339", *_UNIX_DIGITS)


def micros_in(text: str, form: str) -> int:
    """Microseconds since 1970 in UTC, finer digits cut off. Raises ValueError with a sentence."""
    return _micros_of_rfc3339(text) if form == "rfc3339" else _micros_of_unix(text, form)


def _micros_of_rfc3339(text: str) -> int:
    shown = repr(text[:_MAX_SHOWN])
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"{shown} is not a time such as 2023-11-16T18:17:03.979960Z, zone included")
    try:
        return (datetime.fromisoformat(text.upper()) - _EPOCH) // _MICROSECOND
    except ValueError as error:
        raise ValueError(f"{shown} is no point in time: {error}") from None


def _micros_of_unix(text: str, form: str) -> int:
    match = _UNIX.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:_MAX_SHOWN]!r} is not a plain number, as {form} requires")
    sign, whole, fraction = match.groups()
    digits = _UNIX_DIGITS[form]
    return int(sign + whole + (fraction or "")[:digits].ljust(digits, "0"))
