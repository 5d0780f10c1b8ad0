"""Which filter of a charge an event belongs to; as metering splits usage into parts."""

from collections.abc import Mapping, Sequence

from services.pricing.domain.plans import ChargeFilter, PropertyFilter


def admits(filters: Sequence[PropertyFilter], properties: Mapping[str, str]) -> bool:
    return all(
        (value := properties.get(each.property)) is not None and (not each.values or value in each.values)
        for each in filters
    )


def part_of(properties: Mapping[str, str], filters: Sequence[ChargeFilter]) -> ChargeFilter | None:
    """Of the filters that admit an event the one with the most properties; then one whose values are among another's;
    then the first. None where none admits it.
    """
    admitting = [each for each in filters if admits(each.properties, properties)]
    most = max((len(each.properties) for each in admitting), default=0)
    nearest = [each for each in admitting if len(each.properties) == most]
    return next((one for one in nearest if not any(_is_within(other, one) for other in nearest)), None)


def _is_within(one: ChargeFilter, other: ChargeFilter) -> bool:
    """Over the same properties, and admits less."""
    mine = {each.property: set(each.values) for each in one.properties}
    others = {each.property: set(each.values) for each in other.properties}
    return (
        mine != others
        and mine.keys() == others.keys()
        and all(not others[name] or (values and values <= others[name]) for name, values in mine.items())
    )
