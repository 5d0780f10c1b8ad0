"""Keyset pages: a token is the sort key of the last row, opaque to the caller."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from libs.common.errors import InvalidArgument

T = TypeVar("T")

DEFAULT_SIZE = 50
MAX_SIZE = 500


@dataclass(frozen=True, slots=True)
class Page:
    """What to read: at most `size` rows after the key `after` (None for the first page)."""

    size: int
    after: str | None

    def cut(self, rows: Sequence[T], key: Callable[[T], str]) -> tuple[Sequence[T], str]:
        """Of up to `size + 1` rows read, those of this page and the next page's token ("" on the last)."""
        if len(rows) <= self.size:
            return rows, ""
        return rows[: self.size], token(key(rows[self.size - 1]))


def page_in(page_size: int, page_token: str) -> Page:
    """Raises InvalidArgument for a negative page_size or a token that no answer contained."""
    if page_size < 0:
        raise InvalidArgument("PAGE_SIZE_NEGATIVE", f"page_size is {page_size}", field="page_size")
    return Page(min(page_size or DEFAULT_SIZE, MAX_SIZE), _single(page_token) if page_token else None)


def _single(page_token: str) -> str:
    match key_in(page_token, "page_token"):
        case [key]:
            return key
    raise InvalidArgument("PAGE_TOKEN_INVALID", "page_token is not one that an answer contained", field="page_token")


def token(*key: str) -> str:
    """Opaque, of one text or several."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def key_in(text: str, field: str) -> Sequence[str]:
    """Of a token. Raises InvalidArgument for one that is none."""
    try:
        key = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if isinstance(key, list) and key and all(map(_is_text, key)):
            return key
    except (ValueError, RecursionError):
        pass
    raise InvalidArgument("PAGE_TOKEN_INVALID", f"{field} is not one that an answer contained", field=field)


def _is_text(value: object) -> bool:
    """What Postgres takes as text. Raises ValueError for half of a surrogate pair."""
    return isinstance(value, str) and "\0" not in value and bool(value.encode())
