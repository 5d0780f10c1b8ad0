"""Settings: a frozen dataclass per process, read from the environment once, at start."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeVar

T = TypeVar("T")


class SettingsError(Exception):
    """The environment lacks a variable or holds a wrong one; the message names every such variable."""


def env(name: str, default: Any = MISSING) -> Any:
    """A dataclass field that is read from the environment variable `name`."""
    return field(default=default, metadata={"env": name})


def load(cls: type[T], environ: Mapping[str, str] = os.environ) -> T:
    """Build `cls`, whose fields are made with `env`, from `environ`. Types: str, int. Raises SettingsError."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for each in fields(cls):  # type: ignore[arg-type]
        name = each.metadata["env"]
        raw = environ.get(name)
        if raw:
            values[each.name] = _parse(each, name, raw, problems)
        elif each.default is MISSING:
            problems.append(f"{name} is not set")
    if problems:
        raise SettingsError("; ".join(problems))
    return cls(**values)


def _parse(each: "Field[Any]", name: str, raw: str, problems: list[str]) -> Any:
    if each.type is not int:
        return raw
    try:
        return int(raw)
    except ValueError:
        problems.append(f"{name} must be a whole number, not {raw!r}")
        return None
