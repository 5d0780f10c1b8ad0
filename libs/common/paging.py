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
        return rows[: self.size], _token(key(rows[self.size - 1]))


def page_in(page_size: int, page_token: str) -> Page:
    """Raises InvalidArgument for a negative page_size or a token that no answer contained."""
    if page_size < 0:
        raise InvalidArgument("PAGE_SIZE_NEGATIVE", f"page_size is {page_size}", field="page_size")
    return Page(min(page_size or DEFAULT_SIZE, MAX_SIZE), _key(page_token) if page_token else None)


def _token(key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([key]).encode()).decode().rstrip("=")


def _key(token: str) -> str:
    try:
        match json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))):
            case [str(key)] if "\0" not in key and key.encode():  # what Postgres takes as text
                return key
    except (ValueError, RecursionError):
        pass
    raise InvalidArgument("PAGE_TOKEN_INVALID", "page_token is not one that an answer contained", field="page_token")
