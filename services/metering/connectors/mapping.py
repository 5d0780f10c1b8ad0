"""From a source's records to events, by configuration.

    transaction_id: id                                  a path: names, and places in lists from 0, between dots
    subscription_id: {template: "{account.id}-{region}"}
    code: {constant: llm_request}
    timestamp: {path: occurred_at, format: unix_ms}
    properties:
      tokens: usage.total
      instance: {path: [labels, app.kubernetes.io/instance]}    names that have dots themselves
      "*": labels.*                                     every member of labels that nothing else here reads

A path that begins with "@" leads to what the source says beside the record: "@position", "@key", "@header.NAME".
Values are text as they were written: numbers never pass through a float.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import TypeAlias

from services.metering.connectors.instants import FORMATS, micros_in
from services.metering.connectors.records import Record, Refused, Value, decoded

FIELDS = ("transaction_id", "subscription_id", "code", "timestamp", "properties")
MEMBERS = "*"
MAX_DEPTH = 32
MAX_SHOWN = 64

CLOUDEVENTS: Mapping[str, object] = {
    "transaction_id": {"template": "{source}|{id}"},
    "subscription_id": "subject",
    "code": "type",
    "timestamp": "time",
    "properties": "data.*",
}
"""CloudEvents 1.0: source and id together are an event's identity; "|" can't be in a source, which is a URI."""

PRESETS = {"cloudevents": CLOUDEVENTS}


@dataclass(frozen=True, slots=True)
class Path:
    """Steps into the record or, where `metadata` is not empty, what to read beside it."""

    steps: tuple[str, ...]
    metadata: str = ""

    def __str__(self) -> str:
        return f"@{self.metadata}" if self.metadata else ".".join(self.steps)


@dataclass(frozen=True, slots=True)
class Constant:
    text: str


@dataclass(frozen=True, slots=True)
class Template:
    """Texts and paths, one after the other."""

    parts: tuple[str | Path, ...]


Expression: TypeAlias = Path | Constant | Template


@dataclass(frozen=True, slots=True)
class MappedEvent:
    """`micros` counts microseconds since 1970 in UTC."""

    transaction_id: str
    subscription_id: str
    code: str
    micros: int
    properties: dict[str, str]


@dataclass(frozen=True, slots=True)
class EventMapping:
    """`members` is where properties come from as they are, None for nowhere, but for the paths in `named`."""

    transaction_id: Expression
    subscription_id: Expression
    code: Expression
    timestamp: Expression
    timestamp_format: str
    properties: Mapping[str, Expression]
    members: Path | None
    named: frozenset[tuple[str, ...]]

    def event(self, record: Record) -> MappedEvent:
        """Raises Refused, naming the event's field."""
        value = decoded(record)
        return MappedEvent(
            transaction_id=_required("transaction_id", self.transaction_id, record, value),
            subscription_id=_required("subscription_id", self.subscription_id, record, value),
            code=_required("code", self.code, record, value),
            micros=self._micros(record, value),
            properties=self._properties(record, value),
        )

    def _micros(self, record: Record, value: Value) -> int:
        text = _required("timestamp", self.timestamp, record, value)
        try:
            return micros_in(text, self.timestamp_format)
        except ValueError as error:
            raise Refused("timestamp", "TIMESTAMP_MALFORMED", str(error)) from None

    def _properties(self, record: Record, value: Value) -> dict[str, str]:
        found: dict[str, str] = {}
        if self.members is not None:
            found.update(self._members(_find(self.members, value), self.members.steps, ()))
        for name, expression in self.properties.items():
            text = _text(f"properties.{name}", expression, record, value)
            if text is not None:
                found[name] = text
        return found

    def _members(self, value: Value, path: tuple[str, ...], name: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Name and text of each value below `path`; names of what lies deeper have dots."""
        if len(name) > MAX_DEPTH:
            raise Refused(f"properties.{'.'.join(name)}", "RECORD_MALFORMED", f"nested deeper than {MAX_DEPTH}")
        if isinstance(value, dict | list):
            for step, member in value.items() if isinstance(value, dict) else enumerate(value):
                if (below := (*path, str(step))) not in self.named:
                    yield from self._members(member, below, (*name, str(step)))
        elif value is not None and name:
            dotted = _encodable("properties", ".".join(name))
            yield dotted, _scalar(f"properties.{dotted}", value)


def mapping_in(configuration: object, default: str = "") -> EventMapping:
    """Read a mapping; a name stands for a preset, which fields given beside `preset` override.

    Raises ValueError naming what is wrong.
    """
    given = {"preset": configuration or default} if isinstance(configuration, str) else configuration
    if not isinstance(given, dict):
        raise ValueError("mapping must be the name of a preset, or name the fields of an event")
    preset = given.get("preset", default)
    if preset and preset not in PRESETS:
        raise ValueError(f"mapping.preset is {preset!r}; there is {', '.join(PRESETS)}")
    if unknown := given.keys() - {"preset", *FIELDS}:
        raise ValueError(f"mapping.{min(unknown)} is not a field of an event: they are {', '.join(FIELDS)}")
    fields = {**PRESETS.get(preset, {}), **given}
    stamp = fields.get("timestamp")
    form = stamp.get("format", FORMATS[0]) if isinstance(stamp, dict) else FORMATS[0]
    if form not in FORMATS:
        raise ValueError(f"mapping.timestamp.format is {form!r}; there are {', '.join(FORMATS)}")
    if isinstance(stamp, dict):
        fields["timestamp"] = {name: each for name, each in stamp.items() if name != "format"}
    expressions = {name: _expression_in(f"mapping.{name}", fields.get(name)) for name in FIELDS[:4]}
    properties, members = _properties_in(fields.get("properties", {}))
    return EventMapping(
        **expressions,
        timestamp_format=form,
        properties=properties,
        members=members,
        named=frozenset(path.steps for each in (*expressions.values(), *properties.values()) for path in _paths(each)),
    )


def _properties_in(given: object) -> tuple[dict[str, Expression], Path | None]:
    if isinstance(given, str):
        given = {MEMBERS: given}
    if not isinstance(given, dict):
        raise ValueError('mapping.properties must name properties, or be a path that ends in "*"')
    properties = {name: _expression_in(f"mapping.properties.{name}", each) for name, each in given.items()}
    members = properties.pop(MEMBERS, None)
    if members is None:
        return properties, None
    if not isinstance(members, Path) or members.metadata or members.steps[-1] != MEMBERS:
        raise ValueError(f'mapping.properties.{MEMBERS} must be a path that ends in "*"')
    return properties, Path(members.steps[:-1])


def _expression_in(field: str, given: object) -> Expression:
    match given:
        case str(path) if path:
            return _path(path)
        case {"path": str(path), **rest} if path and not rest:
            return _path(path)
        case {"path": [*steps], **rest} if steps and not rest:
            return Path(tuple(map(str, steps)))
        case {"constant": str(text), **rest} if not rest:
            return Constant(text)
        case {"template": str(template), **rest} if not rest:
            return _template(field, template)
    raise ValueError(f"{field} must be a path, or have one of path, constant and template")


def _template(field: str, template: str) -> Template:
    parts: list[str | Path] = []
    try:
        for text, name, form, conversion in Formatter().parse(template):
            if form or conversion or name == "":
                raise ValueError("only a path may stand between braces")
            parts += [text] if text else []
            parts += [_path(name)] if name else []
    except ValueError as error:
        raise ValueError(f"{field}.template is {template!r}: {error}") from None
    return Template(tuple(parts))


def _path(text: str) -> Path:
    return Path((), text[1:]) if text.startswith("@") else Path(tuple(text.split(".")))


def _paths(expression: Expression) -> Iterator[Path]:
    match expression:
        case Path():
            yield expression
        case Template(parts):
            yield from (part for part in parts if isinstance(part, Path))


def _required(field: str, expression: Expression, record: Record, value: Value) -> str:
    text = _text(field, expression, record, value)
    if not text:
        where = ", ".join(map(str, _paths(expression)))
        raise Refused(field, "FIELD_MISSING", f"{field} is required; the record has nothing at {where}")
    return text


def _text(field: str, expression: Expression, record: Record, value: Value) -> str | None:
    """None where the record has nothing, or null, at a path."""
    match expression:
        case Path():
            found = _beside(expression.metadata, record) if expression.metadata else _find(expression, value)
            return None if found is None else _scalar(field, found)
        case Constant(text):
            return text
        case Template(parts):
            texts = [part if isinstance(part, str) else _text(field, part, record, value) for part in parts]
            return None if None in texts else "".join(text for text in texts if text is not None)


def _beside(name: str, record: Record) -> str | None:
    return record.position if name == "position" else record.metadata.get(name)


def _find(path: Path, value: Value) -> Value:
    for step in path.steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and len(step) < 10 and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _scalar(field: str, value: Value) -> str:
    if isinstance(value, str):
        return _encodable(field, value)
    if isinstance(value, bool):
        return "true" if value else "false"
    raise Refused(
        field, "VALUE_NOT_SCALAR", f"{field} is {str(value)[:MAX_SHOWN]!r}; expected a text, a number, true or false"
    )


def _encodable(field: str, text: str) -> str:
    """Refuses half of a surrogate pair, which JSON can write and UTF-8 can't."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Refused(field, "TEXT_MALFORMED", f"{field} has half of a surrogate pair") from None
    return text
