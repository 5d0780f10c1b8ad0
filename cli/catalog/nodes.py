"""YAML as nodes that remember their line: scalars stay text, and what YAML can surprise with is refused.

A catalog holds prices, so no scalar is interpreted on the way: `0.10` is the text "0.10", `no` the text "no". Aliases,
tags, duplicate keys, deep nesting and a second document are errors.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from cli.errors import CliError

MAX_BYTES = 10 * 1024 * 1024
MAX_DEPTH = 16
MOST_PROBLEMS = 1000
"""A file has more of them than anybody reads only when it is of another kind: it is not looked at any further."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ABSENT = {"", "~", "null", "Null", "NULL"}


@dataclass(frozen=True, slots=True)
class Problem:
    """Where (line, and path such as "plans[0].charges[1].code"), and why."""

    line: int
    path: str
    message: str


class CatalogError(CliError):
    """The file is wrong, in one place or several."""

    def __init__(self, file: str, *problems: Problem) -> None:
        told = [_shown(file, each) for each in problems]
        if len(told) >= MOST_PROBLEMS:
            told.append(f"{file}: these are the first {len(told)} problems; there may be more")
        super().__init__("\n".join(told))
        self.problems = problems


def _shown(file: str, problem: Problem) -> str:
    path = f"{problem.path}: " if problem.path else ""
    return f"{file}:{problem.line}: {path}{problem.message}"


@dataclass(frozen=True, slots=True)
class Scalar:
    """`text` as written; None where YAML has nothing or null."""

    line: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Items:
    line: int
    items: "list[Node]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Mapping:
    line: int
    entries: "dict[str, Node]" = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    """Line of each key."""


Node: TypeAlias = Scalar | Items | Mapping


def parse(text: bytes, file: str) -> Node:
    """The file's one document. Raises CatalogError."""
    if len(text) > MAX_BYTES:
        raise CatalogError(file, Problem(1, "", f"the file has {len(text)} bytes, {MAX_BYTES} at most"))
    try:
        return _Reader(file, yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise CatalogError(file, Problem(mark.line + 1 if mark else 1, "", f"not YAML: {problem}")) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CatalogError(file, Problem(1, "", f"not YAML: {' '.join(str(error).split())}")) from None


class _Reader:
    def __init__(self, file: str, events: Iterator[Any]) -> None:
        self._file = file
        self._events = events

    def document(self) -> Node:
        node: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if node is not None:
                    raise self._error(event, "a file is one YAML document, here begins a second one")
                node = self._node(next(self._events), 0)
        return node or Scalar(1, None)

    def _node(self, event: Any, depth: int) -> Node:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise self._error(event, f"aliases are not supported: *{event.anchor}")
        if event.tag is not None and event.tag != "!":
            raise self._error(event, f"tags are not supported: {event.tag}")
        if depth > MAX_DEPTH:
            raise self._error(event, f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.ScalarEvent):
            is_plain = event.implicit[0]
            return Scalar(line, None if is_plain and event.value in _ABSENT else event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(each := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(each, depth + 1))
            return Items(line, items)
        return self._mapping(line, depth)

    def _mapping(self, line: int, depth: int) -> Mapping:
        mapping = Mapping(line)
        while not isinstance(each := next(self._events), yaml.MappingEndEvent):
            key = self._node(each, depth + 1)
            if not isinstance(key, Scalar) or key.text is None:
                raise self._error(each, "a key must be a name")
            if key.text in mapping.entries:
                first = mapping.lines[key.text]
                raise self._error(each, f"duplicate key {key.text!r}, which is also on line {first}")
            mapping.lines[key.text] = key.line
            mapping.entries[key.text] = self._node(next(self._events), depth + 1)
        return mapping

    def _error(self, event: Any, message: str) -> CatalogError:
        return CatalogError(self._file, Problem(event.start_mark.line + 1, "", message))
