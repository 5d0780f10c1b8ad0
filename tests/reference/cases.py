"""Reference cases: figures that billing must come to, in a file that any implementation can be held against.

The file's `_schema` says what the words mean. A case that uses words which its runner does not know fails.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.conftest import Database, Keys

Json = dict[str, Any]

DEFAULT_FILE = Path(__file__).with_name("billing_cases.json")


class Unsupported(Exception):
    """What a case says that its runner does not understand."""


@dataclass(frozen=True, slots=True)
class Case:
    """`given` is configuration, `when` what happens, `expect` the figures. `area` tells calculations apart."""

    id: str
    kind: str
    given: Json
    when: Json
    expect: Json
    area: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """Where a case is played: an empty database and a signing key."""

    database: Database
    keys: Keys


class Fields:
    """A mapping of a case that is read key by key; `close` refuses what nobody asked for."""

    def __init__(self, values: Mapping[str, Any], path: str) -> None:
        self.path = path
        self._left = dict(values)

    def take(self, key: str, default: Any = None) -> Any:
        return self._left.pop(key, default)

    def rest(self) -> Mapping[str, Any]:
        """What nobody has asked for yet."""
        left, self._left = self._left, {}
        return left

    def close(self) -> None:
        if self._left:
            raise Unsupported(", ".join(f"{self.path}.{key}" for key in self._left))


def read_cases(path: Path) -> list[Case]:
    """Raises ValueError when the file is not of this format."""
    content = json.loads(path.read_text(), parse_float=Decimal)
    try:
        cases = [
            Case(
                each["id"],
                each["kind"],
                each.get("given", {}),
                each.get("when", {}),
                each["expect"],
                each.get("area", ""),
            )
            for each in content["cases"]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} has no reference cases: {error!r}") from None
    if repeated := _repeated(case.id for case in cases):
        raise ValueError(f"{path} has several cases {repeated}")
    return cases


def _repeated(ids: Iterable[str]) -> str:
    seen: set[str] = set()
    return ", ".join(each for each in ids if each in seen or seen.add(each))  # type: ignore[func-returns-value]
