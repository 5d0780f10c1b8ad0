"""Computed properties: what meters with an expression write into the events that they count."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from libs.common.errors import FailedPrecondition
from services.metering.domain.expressions import ExpressionFailedError, Sample, compiled
from services.metering.domain.meters import Aggregation, Computed, Meter
from services.metering.domain.versions import History


@dataclass(frozen=True, slots=True)
class ComputationFailure:
    """Why `property` of an event can't be computed."""

    property: str
    message: str


def computed(meters: Iterable[Meter]) -> tuple[Computed, ...]:
    """What `meters`, all of one event code, compute; each once."""
    found = (
        Computed(
            meter.value_property,
            meter.filters,
            compiled(meter.expression),
            meter.aggregation is Aggregation.UNIQUE_COUNT,
        )
        for meter in meters
        if meter.expression
    )
    return tuple(dict.fromkeys(found))


def with_computed(sample: Sample, each_computed: Iterable[Computed]) -> Mapping[str, str] | ComputationFailure:
    """The sample's properties, sorted by name, with the computed ones in the place of those sent.

    All of them see the event as it was sent, so their order does not matter.
    """
    properties = dict(sample.properties)
    for each in each_computed:
        if each.applies_to(sample.properties):
            try:
                properties[each.property] = each.of(sample)
            except ExpressionFailedError as error:
                return ComputationFailure(each.property, str(error))
    return {name: properties[name] for name in sorted(properties)}


def require_agreement(meter: Meter, others: Iterable[History]) -> None:
    """That what is recorded does not depend on which meter is asked first, at any time at which `meter` is in effect.

    Raises FailedPrecondition EXPRESSION_CONFLICT when another meter of the event code writes the same property by
    another expression, and when what one writes is what another, or itself, filters by.
    """
    if not meter.expression:
        return
    rivals = [
        version
        for each in others
        for version in each.during(meter.since, meter.until)
        if each.code != meter.code and version.event_code == meter.event_code and version.expression
    ]
    for each in rivals:
        if each.value_property == meter.value_property and each.expression != meter.expression:
            raise _conflict(each, f"meter {each.code} computes {meter.value_property} by another expression")
    for writer, reader in ((meter, meter), *((meter, each) for each in rivals), *((each, meter) for each in rivals)):
        if any(each.property == writer.value_property for each in reader.filters):
            raise _conflict(
                writer, f"meter {writer.code} computes {writer.value_property}, by which {reader.code} filters"
            )


def _conflict(other: Meter, message: str) -> FailedPrecondition:
    return FailedPrecondition("EXPRESSION_CONFLICT", message, meter_code=other.code)
