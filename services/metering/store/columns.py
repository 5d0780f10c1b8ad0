"""Columns for Postgres: each becomes, as a whole, an array in the binary form that Postgres receives and sends.

asyncpg writes an array element by element, after it has asked of each whether it is an array itself: 1.8 µs for the
columns of an event, where this takes 0.4 µs.
"""

import struct
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

_HEAD = struct.Struct(">iiI")  # dimensions, whether there is a NULL, type of the elements
_BOUNDS = struct.Struct(">ii")  # elements, subscript of the first
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)


@dataclass(frozen=True, slots=True)
class _ArrayType:
    """`join` writes elements, each after its length; `read` reads one without it."""

    name: str
    oid: int
    element_oid: int
    join: Callable[[Sequence[Any]], bytes]
    read: Callable[[bytes], Any]

    def encode(self, values: Sequence[Any]) -> bytes:
        if not values:
            return _HEAD.pack(0, 0, self.element_oid)
        return _HEAD.pack(1, 1, self.element_oid) + _BOUNDS.pack(len(values), 1) + self.join(values)

    def decode(self, data: bytes) -> list[Any]:
        return [None if element is None else self.read(element) for element in _elements(data)]


def use_columns(conn: "asyncpg.Connection[asyncpg.Record]") -> None:
    """On `conn`, arrays of uuid (each 16 bytes), bigint, integer and text are lists of one dimension; only those of
    text may contain None.
    """
    for each in _TYPES:
        conn.get_settings().add_python_codec(
            each.oid, each.name, "pg_catalog", [], "scalar", each.encode, each.decode, "binary"
        )


def _join_uuids(keys: Sequence[bytes]) -> bytes:
    length = _LENGTH.pack(16)
    return length + length.join(keys)


def _join_bigints(values: Sequence[int]) -> bytes:
    halves = array("i", _big_endian("q", values))
    words = array("i", _LENGTH.pack(8) * (3 * len(values)))
    words[1::3], words[2::3] = halves[::2], halves[1::2]
    return words.tobytes()


def _join_integers(values: Sequence[int]) -> bytes:
    words = array("i", _LENGTH.pack(4) * (2 * len(values)))
    words[1::2] = array("i", _big_endian("i", values))
    return words.tobytes()


def _join_texts(values: Sequence[str | None]) -> bytes:
    texts = [None if value is None else value.encode() for value in values]
    return b"".join([_NULL if text is None else _LENGTH.pack(len(text)) + text for text in texts])


def _big_endian(code: str, values: Sequence[int]) -> bytes:
    result = array(code, values)
    if sys.byteorder == "little":
        result.byteswap()
    return result.tobytes()


def _elements(data: bytes) -> Iterator[bytes | None]:
    place = _HEAD.size + _BOUNDS.size
    while place < len(data):
        [length] = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if length < 0:
            yield None
        else:
            yield data[place : place + length]
            place += length


def _read_integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


_TYPES = (
    _ArrayType("_uuid", 2951, 2950, _join_uuids, bytes),
    _ArrayType("_int8", 1016, 20, _join_bigints, _read_integer),
    _ArrayType("_int4", 1007, 23, _join_integers, _read_integer),
    _ArrayType("_text", 1009, 25, _join_texts, bytes.decode),
)
