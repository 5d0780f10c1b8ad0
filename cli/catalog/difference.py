"""What has to change so that the services have what a catalog says; pure.

Both sides are in the services' normal form: what a catalog's element would be recorded as, and what is recorded. What
the services have and the file does not mention stays as it is.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from google.protobuf.message import Message

from cli.catalog.kinds import KINDS, REFERENCES, Kind
from cli.catalog.messages import table_of
from cli.catalog.nodes import CatalogError, Problem
from cli.catalog.reader import Catalog, Element
from weir.pricing.v1.overrides_pb2 import PlanOverride
from weir.pricing.v1.pricing_pb2 import Plan

Messages: TypeAlias = tuple[Message, ...]
Existing: TypeAlias = Mapping[Kind, Mapping[str, Messages]]
"""What the services have, by kind and code."""

Action: TypeAlias = Literal["create", "update", "new_version", "unchanged"]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """`old` or `new` is "" where the field is not there."""

    field: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Change:
    """`version` is the version of a plan that results, which may be an override; 0 for everything else."""

    kind: str
    code: str
    action: Action
    fields: tuple[FieldChange, ...] = ()
    version: int = 0


def changes(catalog: Catalog, normal: Sequence[Messages], existing: Existing) -> list[Change]:
    """In the order of the catalog's elements, of which `normal` has the normal forms.

    Raises CatalogError for everything that can't be changed.
    """
    found: list[Change] = []
    problems: list[Problem] = []
    overridden = Counter[str]()
    for element, messages in zip(catalog.elements, normal, strict=True):
        change = _change(element, messages, existing[element.kind].get(element.code))
        if isinstance(override := messages[0], PlanOverride) and change.action != "unchanged":
            change = replace(change, version=change.version + overridden[override.plan_code])
            overridden[override.plan_code] += 1
        found.append(change)
        problems += _fixed(catalog, element, change)
    if problems:
        raise CatalogError(catalog.file, *problems)
    return found


def require_known_names(catalog: Catalog, existing: Existing) -> None:
    """Raises CatalogError for each name of an element that is neither in the file nor in the services."""
    known = {kind: {*existing[kind], *(each.code for each in catalog.of(kind))} for kind in KINDS}
    problems = [
        catalog.problem(path, f"there is no {kind.name} {code!r}, here or in the service")
        for element in catalog.elements
        for path, kind, code in _references(element.table, element.path)
        if code not in known[kind]
    ]
    if problems:
        raise CatalogError(catalog.file, *problems)


def _references(value: Any, path: str) -> Iterator[tuple[str, Kind, str]]:
    match value:
        case dict():
            for key, each in value.items():
                here = f"{path}.{key}"
                if key not in REFERENCES or each is None:
                    yield from _references(each, here)
                elif isinstance(each, list):
                    yield from ((f"{here}[{i}]", REFERENCES[key], code) for i, code in enumerate(each))
                else:
                    yield here, REFERENCES[key], each
        case list():
            for index, each in enumerate(value):
                yield from _references(each, f"{path}[{index}]")


def _change(element: Element, messages: Messages, old: Messages | None) -> Change:
    kind, code = element.kind, element.code
    new_fields = flat(messages)
    if old is None:
        return Change(kind.name, code, "create", _difference({}, new_fields), _next_version(messages))
    changed = _difference(flat(old), new_fields)
    if not changed:
        return Change(kind.name, code, "unchanged", (), _version(old))
    if kind.versioned and not all(each.field in kind.updatable for each in changed):
        return Change(kind.name, code, "new_version", changed, _next_version(messages, old))
    return Change(kind.name, code, "update", changed, _version(old))


def _version(old: Messages) -> int:
    match old[0]:
        case Plan(latest_version=latest):
            return latest.version
        case PlanOverride(version=version):
            return version
    return 0


def _next_version(normal: Messages, old: Messages | None = None) -> int:
    """A service says which version an override would become."""
    match normal[0], old:
        case Plan(), None:
            return 1
        case Plan(), (Plan(version_count=count), *_):
            return count + 1
        case PlanOverride(version=version), _:
            return version
    return 0


def _fixed(catalog: Catalog, element: Element, change: Change) -> Iterator[Problem]:
    if change.action != "update":
        return
    for each in change.fields:
        if each.field.partition(".")[0] not in element.kind.updatable:
            yield catalog.problem(
                f"{element.path}.{each.field}",
                f"{change.kind} {change.code!r} was made with {each.old or 'none'}, here it is {each.new or 'none'};"
                f" that can't be updated: {element.kind.instead}",
            )


def flat(messages: Messages) -> dict[str, str]:
    """Every field with its value, by its path. Elements of lists are named by their code, or else counted from 1."""
    return {path: text for message in messages for path, text in _flat(table_of(message), "")}


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict() if value:
            for key, each in value.items():
                yield from _flat(each, f"{path}.{key}" if path else key)
        case [dict(), *_]:
            for index, each in enumerate(value, 1):
                name = f"{path}.{each['code']}" if "code" in each else f"{path}[{index}]"
                yield from _flat({key: value for key, value in each.items() if key != "code"}, name)
        case list():
            yield path, ", ".join(value)
        case dict():
            yield path, "yes"
        case str() if path != "code":
            yield path, value


def _difference(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[FieldChange, ...]:
    names: Collection[str] = dict.fromkeys((*old, *new))
    return tuple(
        FieldChange(name, old.get(name, ""), new.get(name, ""))
        for name in names
        if old.get(name, "") != new.get(name, "")
    )
