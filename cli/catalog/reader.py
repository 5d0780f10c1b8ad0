"""A catalog file as the messages that create it. Names of keys are those of the contract.

Strict: an unknown key, a missing one, or a value of the wrong form is a problem that names file, line and path; all of
them are told at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any

from google.protobuf.message import Message
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from cli.catalog.kinds import KINDS, Kind
from cli.catalog.messages import Misfit, Table, fill
from cli.catalog.nodes import MOST_PROBLEMS, CatalogError, Items, Mapping, Node, Problem, Scalar, parse
from cli.catalog.schema import CODE_PATTERN, DECIMAL_PATTERN, published

_EXPECTED = {
    CODE_PATTERN: "a code: a letter, then up to 63 of a-z, 0-9, '_', '-' and '.'",
    DECIMAL_PATTERN: "a decimal in plain notation such as 0.0025",
    "^-?[0-9]+$": "a whole number",
}


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a catalog: as the file has it at `path`, and as messages in the order of its kind."""

    kind: Kind
    path: str
    table: Table
    messages: tuple[Message, ...]

    @property
    def code(self) -> str:
        return self.kind.name_of(self.table)


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a file says should be, in the order in which it can be applied. `lines` has the line of every path."""

    file: str
    elements: tuple[Element, ...] = ()
    lines: dict[str, int] = field(default_factory=dict)

    def of(self, kind: Kind) -> Sequence[Element]:
        return [each for each in self.elements if each.kind is kind]

    def problem(self, path: str, message: str) -> Problem:
        """At the nearest place on the way to `path` that the file has."""
        return Problem(line_of(self.lines, path), path, message)


def read_catalog(text: bytes, file: str) -> Catalog:
    """Raises CatalogError."""
    root, lines = read_table(text, file, _validator())
    return catalog_of(root, file, lines)


def read_table(text: bytes, file: str, validator: Draft202012Validator) -> tuple[Table, dict[str, int]]:
    """What the file says, and the line of every path in it. Raises CatalogError."""
    lines: dict[str, int] = {}
    root = _plain(parse(text, file), "", lines) or {}
    found = islice(_misshapen(root, validator), MOST_PROBLEMS)
    if problems := [Problem(line_of(lines, path), path, message) for path, message in found]:
        raise CatalogError(file, *sorted(problems, key=lambda each: each.line))
    return root, lines


def catalog_of(root: Table, file: str, lines: dict[str, int]) -> Catalog:
    """A catalog that has the right shape. Raises CatalogError."""
    problems: list[Problem] = []
    elements = []
    for kind in KINDS:
        seen: set[str] = set()
        for index, table in enumerate(root.get(kind.key) or ()):
            path = f"{kind.key}[{index}]"
            if (name := kind.name_of(table)) in seen:
                problems.append(Problem(line_of(lines, path), path, f"a second {name!r} among {kind.key}"))
            seen.add(name)
            if len(problems) >= MOST_PROBLEMS:
                break
            try:
                elements.append(_element(kind, path, table))
            except Misfit as misfit:
                where = f"{path}.{misfit.path}"
                problems.append(Problem(line_of(lines, where), where, misfit.reason))
    if problems:
        raise CatalogError(file, *problems)
    return Catalog(file, tuple(elements), lines)


def _element(kind: Kind, path: str, table: Table) -> Element:
    messages = tuple(message() for message in kind.messages)
    for message in messages:
        fill(message, table)
    return Element(kind, path, table, messages)


def _plain(node: Node, path: str, lines: dict[str, int]) -> Any:
    """The node as mappings, lists and texts; the line of every path goes to `lines`."""
    lines.setdefault(path, node.line)
    match node:
        case Scalar():
            return node.text
        case Items():
            return [_plain(each, f"{path}[{index}]", lines) for index, each in enumerate(node.items)]
        case Mapping():
            for key, line in node.lines.items():
                lines[_join(path, key)] = line
            return {key: _plain(each, _join(path, key), lines) for key, each in node.entries.items()}


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def line_of(lines: dict[str, int], path: str) -> int:
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path, 1)


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(published())


def _misshapen(root: Any, validator: Draft202012Validator) -> Iterator[tuple[str, str]]:
    """Paths and messages."""
    for error in validator.iter_errors(root):
        path = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in error.absolute_path)
        yield from _explained(path.removeprefix("."), error)


def _explained(path: str, error: ValidationError) -> Iterator[tuple[str, str]]:
    value: Any = error.instance
    rule: Any = error.validator_value
    match error.validator:
        case "additionalProperties":
            known = error.schema["properties"]  # type: ignore[index]
            for key in value:
                if key not in known:
                    yield _join(path, key), f"unknown key; the keys here are {', '.join(known)}"
        case "required":
            for key in rule:
                if key not in value and f"'{key}'" in error.message:
                    yield _join(path, key), "is required"
        case "oneOf":
            choices = [name for each in rule for name in each.get("required", ())]
            given = [name for name in choices if name in value]
            yield path, f"needs one of {_either(choices)}; it has {' and '.join(given) or 'none'}"
        case "enum":
            yield path, f"is {value!r}; expected {_either(rule)}"
        case "pattern":
            yield path, f"is {value!r}; expected {_EXPECTED[rule]}"
        case "minItems":
            yield path, "must not be empty"
        case "type":
            yield path, "has no value" if value is None else f"expected {_kind_of(rule)}"
        case _:
            yield path, error.message


def _either(choices: Iterable[Any]) -> str:
    *others, last = [each for each in choices if isinstance(each, str)]
    return f"{', '.join(others)} or {last}" if others else last


def _kind_of(types: Any) -> str:
    if "array" in types:
        return "a list"
    return "a mapping of keys to values" if "object" in types else "a text or a number"
