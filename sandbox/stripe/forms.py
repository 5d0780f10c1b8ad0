"""Stripe's request encoding: form fields with brackets, decoded into typed parameters.

A *field* is a function (name, raw value) -> typed value that raises StripeError. The raw value is text, or a dict for
what came in brackets. An empty text unsets a parameter where that is possible and decodes to None.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from sandbox.state import Json
from sandbox.stripe import errors

Field = Callable[[str, Any], Any]

NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
MAX_FIELDS = 1000
MAX_TEXT = 5000
MAX_METADATA_KEYS, MAX_METADATA_KEY, MAX_METADATA_VALUE = 50, 40, 500


def parse(encoded: str) -> Json:
    """`a[b]=1&c[0]=x&c[]=y` -> {"a": {"b": "1"}, "c": {"0": "x", "1": "y"}}. Raises StripeError if malformed."""
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise errors.refused(f"Invalid request: the body is not a valid form ({error}).") from error
    tree: Json = {}
    for name, value in pairs:
        match = NAME.fullmatch(name)
        if match is None:
            raise errors.refused(f"Invalid request: malformed parameter name {name!r}.", name)
        *parents, last = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        node = tree
        for key in parents:
            node = node.setdefault(key or str(len(node)), {})
            if not isinstance(node, dict):
                raise errors.refused(f"Invalid request: {name} is both a value and a group.", name)
        last = last or str(len(node))
        if isinstance(node.get(last), dict):
            raise errors.refused(f"Invalid request: {name} is both a value and a group.", name)
        node[last] = value
    return tree


def decode(tree: Json, fields: Mapping[str, Field], required: tuple[str, ...] = (), within: str = "") -> Json:
    """Typed parameters. Raises StripeError for unknown, missing and malformed ones."""
    unknown = [_name(within, key) for key in tree if key not in fields]
    if unknown:
        raise errors.unknown_parameters(unknown)
    for key in required:
        if key not in tree:
            raise errors.missing_parameter(_name(within, key))
    return {key: fields[key](_name(within, key), value) for key, value in tree.items()}


def text(name: str, value: Any) -> str | None:
    if not isinstance(value, str):
        raise errors.refused(f"Invalid string: {name} is a group", name)
    if len(value) > MAX_TEXT:
        raise errors.refused(f"Invalid string: {name} must be at most {MAX_TEXT} characters", name)
    return value or None


def identifier(name: str, value: Any) -> str:
    """Text that cannot be empty."""
    found = text(name, value)
    if found is None:
        raise errors.refused(
            f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter;"
            f" however '{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty"
            " value.",
            name,
            "parameter_invalid_empty",
        )
    return found


def integer(name: str, value: Any) -> int:
    digits = identifier(name, value)
    if re.fullmatch(r"-?[0-9]{1,18}", digits) is None:
        raise errors.refused(f"Invalid integer: {digits}", name, "parameter_invalid_integer")
    return int(digits)


def boolean(name: str, value: Any) -> bool:
    word = identifier(name, value)
    if word not in ("true", "false"):
        raise errors.refused(f"Invalid boolean: {word}", name)
    return word == "true"


def one_of(*allowed: str) -> Field:
    def field(name: str, value: Any) -> str:
        word = identifier(name, value)
        if word not in allowed:
            raise errors.refused(f"Invalid {name}: must be one of {', '.join(allowed)}", name)
        return word

    return field


def many(item: Field) -> Field:
    def field(name: str, value: Any) -> list[Any]:
        if not isinstance(value, dict) or not all(key.isdecimal() for key in value):
            raise errors.refused(f"Invalid array: {name} must be given as {name}[0]=..., {name}[1]=...", name)
        return [item(f"{name}[{key}]", value[key]) for key in sorted(value, key=int)]

    return field


def group(**fields: Field) -> Field:
    """A nested object; empty text unsets all of it."""

    def field(name: str, value: Any) -> Json | None:
        if value == "":
            return None
        if not isinstance(value, dict):
            raise errors.refused(f"Invalid object: {name} must be given as {name}[key]=value", name)
        return decode(value, fields, within=name)

    return field


def metadata(name: str, value: Any) -> Mapping[str, str] | None:
    """Key-value text; an empty value removes its key, an empty whole removes all (None)."""
    if value == "":
        return None
    if not isinstance(value, dict) or not all(isinstance(entry, str) for entry in value.values()):
        raise errors.refused("Invalid metadata: must be given as metadata[key]=value", name)
    if len(value) > MAX_METADATA_KEYS:
        raise errors.refused(f"Metadata can have at most {MAX_METADATA_KEYS} keys.", name)
    for key, entry in value.items():
        if len(key) > MAX_METADATA_KEY:
            raise errors.refused(f"Metadata keys can have at most {MAX_METADATA_KEY} characters.", f"{name}[{key}]")
        if len(entry) > MAX_METADATA_VALUE:
            raise errors.refused(f"Metadata values can have at most {MAX_METADATA_VALUE} characters.", f"{name}[{key}]")
    return value


def merged_metadata(old: Mapping[str, str], change: Mapping[str, str] | None) -> dict[str, str]:
    return {} if change is None else {key: value for key, value in {**old, **change}.items() if value != ""}


def time_range(name: str, value: Any) -> Mapping[str, int]:
    """`created=1` or `created[gte]=1` (gt, gte, lt, lte), in seconds -> {"since", "until"}, both inclusive."""
    if isinstance(value, str):
        moment = integer(name, value)
        return {"since": moment, "until": moment}
    given = decode(value, {"gt": integer, "gte": integer, "lt": integer, "lte": integer}, within=name)
    bounds = {}
    if lower := [given[key] + (key == "gt") for key in ("gt", "gte") if key in given]:
        bounds["since"] = max(lower)
    if upper := [given[key] - (key == "lt") for key in ("lt", "lte") if key in given]:
        bounds["until"] = min(upper)
    return bounds


def _name(within: str, key: str) -> str:
    return f"{within}[{key}]" if within else key
