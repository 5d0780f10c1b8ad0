"""Reading many fields, so that everything wrong with them is named at once."""

from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import FieldViolation, InvalidArgument

T = TypeVar("T")
M = TypeVar("M")


def read_all(readers: Iterable[Callable[[], T]]) -> tuple[T, ...]:
    """What each reader reads; raises InvalidArgument with everything that any of them finds wrong."""
    values: list[T] = []
    violations: list[FieldViolation] = []
    for read in readers:
        try:
            values.append(read())
        except InvalidArgument as error:
            violations.extend(error.violations)
    if violations:
        raise InvalidArgument.of(tuple(violations))
    return tuple(values)


def read_fields(message: M, readers: Mapping[str, Callable[[M], Any]], names: Container[str]) -> dict[str, Any]:
    """What the readers of `names` read of `message`, by name; raises InvalidArgument as `read_all` does."""
    chosen = [name for name in readers if name in names]
    return dict(zip(chosen, read_all(partial(readers[name], message) for name in chosen), strict=True))


def require_unique(reason: str, keys: Sequence[Hashable], path: str) -> None:
    """`path` has {} where the position goes."""
    seen: set[Hashable] = set()
    for index, key in enumerate(keys):
        if key in seen:
            field = path.format(index)
            named = f"{key!r} once more" if isinstance(key, str) else "the same as one before"
            raise InvalidArgument(reason, f"{field} is {named}", field=field)
        seen.add(key)


def mask_in(mask: FieldMask, *updatable: str) -> frozenset[str]:
    """The fields that an update changes: one or more of `updatable`."""
    if not mask.paths:
        raise InvalidArgument("FIELD_MISSING", "update_mask is required", field="update_mask")
    if unknown := sorted(set(mask.paths) - set(updatable)):
        known = " and ".join(", ".join(updatable).rsplit(", ", 1))
        raise InvalidArgument(
            "MASK_PATH_UNKNOWN", f"update_mask names {unknown[0]!r}; only {known} can change", field="update_mask"
        )
    return frozenset(mask.paths)
