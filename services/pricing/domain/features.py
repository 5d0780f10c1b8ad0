"""What plans entitle to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from libs.common.errors import FailedPrecondition

PrivilegeValue: TypeAlias = int | bool | str


class PrivilegeType(StrEnum):
    INTEGER = "integer"
    BOOLEAN = "boolean"
    STRING = "string"
    SELECT = "select"


@dataclass(frozen=True, slots=True)
class Privilege:
    """One thing that a plan says of a feature. `name` may be empty; only SELECT has `options`, one at least."""

    code: str
    name: str
    type: PrivilegeType
    options: tuple[str, ...] = ()

    def admits(self, value: PrivilegeValue) -> bool:
        match self.type:
            case PrivilegeType.INTEGER:
                return isinstance(value, int) and not isinstance(value, bool)
            case PrivilegeType.BOOLEAN:
                return isinstance(value, bool)
            case PrivilegeType.STRING:
                return isinstance(value, str)
            case PrivilegeType.SELECT:
                return value in self.options


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that a plan may include."""

    code: str
    name: str
    description: str
    privileges: tuple[Privilege, ...]
    create_time: datetime

    def privilege(self, code: str) -> Privilege | None:
        return next((each for each in self.privileges if each.code == code), None)


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A feature that a plan version includes, with values of its privileges, by their codes."""

    feature_code: str
    values: tuple[tuple[str, PrivilegeValue], ...]


def require_grown(before: Feature, privileges: Sequence[Privilege]) -> None:
    """Versions that give a privilege never change, so a type stays and options are only added.

    Raises FailedPrecondition PRIVILEGE_CHANGED.
    """
    after = {each.code: each for each in privileges}
    for old in before.privileges:
        new = after.get(old.code)
        if new is None or new.type is not old.type or not set(old.options) <= set(new.options):
            raise FailedPrecondition(
                "PRIVILEGE_CHANGED",
                f"privilege {old.code} of {before.code} would go, get another type or lose an option, and plans may"
                " have it",
                feature_code=before.code,
                privilege_code=old.code,
            )
