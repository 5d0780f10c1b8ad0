"""Parts: usage split so that each event counts in exactly one of them, as the filters of a charge ask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.metering.domain.meters import DimensionFilter

REST = ""
"""The code of the part that has what no filter admitted."""


@dataclass(frozen=True, slots=True)
class Part:
    """Events that every one of `filters` admits; no property stands in two of them."""

    code: str
    filters: tuple[DimensionFilter, ...]

    def admits(self, properties: Mapping[str, str | None]) -> bool:
        return all(each.admits(properties) for each in self.filters)

    def is_within(self, other: "Part") -> bool:
        """Over the same properties, and admits less."""
        mine = {each.property: set(each.values) for each in self.filters}
        others = {each.property: set(each.values) for each in other.filters}
        return (
            mine != others
            and mine.keys() == others.keys()
            and all(not others[name] or (values and values <= others[name]) for name, values in mine.items())
        )


def part_of(properties: Mapping[str, str | None], parts: Sequence[Part]) -> str:
    """The code of the part that an event belongs to; REST when none admits it.

    Of those that admit it, the one with the most properties wins; among these, one whose values are among another's;
    then the first.
    """
    admitting = [part for part in parts if part.admits(properties)]
    most = max((len(part.filters) for part in admitting), default=0)
    nearest = [part for part in admitting if len(part.filters) == most]
    return next((part.code for part in nearest if not any(each.is_within(part) for each in nearest)), REST)
