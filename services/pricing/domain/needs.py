"""What a plan version needs to be told of usage before its charges can be rated."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from services.pricing.domain.accumulation import Accumulation
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.percentage import PercentagePrice
from services.pricing.domain.phases import in_phase, phase_in
from services.pricing.domain.plans import Charge, Phase, PlanVersion, Price, PropertyFilter
from services.pricing.domain.time_of_day import TimeOfDayPrice

ALL_EVENTS = 100_000
"""As many single events as metering tells. Where a price needs more, it refuses."""


@dataclass(frozen=True, slots=True)
class Split:
    """How a meter's usage is to be told: by which parts (code, properties) and groups, with how many first events,
    whether with that of the contract before, by the windows of which price, and whether for the days that units are
    held; `in_advance` event by event, in the order of recording, and if it is `renewed`, with the units that there are
    when a period begins.
    """

    parts: tuple[tuple[str, tuple[PropertyFilter, ...]], ...] = ()
    group_by: tuple[str, ...] = ()
    first_events: int = 0
    accumulates: bool = False
    hours: TimeOfDayPrice | None = None
    prorated: bool = False
    in_advance: bool = False
    renewed: bool = False
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        told = (self.parts, self.group_by, self.first_events, self.accumulates, self.hours, self.prorated)
        object.__setattr__(self, "_hash", hash((*told, self.in_advance, self.renewed)))

    def __hash__(self) -> int:
        """Computed once: usage is looked up by it for every charge of every subscription."""
        return self._hash


class Source(NamedTuple):
    """Where the usage of a charge comes from."""

    meter_code: str
    split: Split


@dataclass(frozen=True, slots=True)
class MeteredVersion:
    """A version; itself with its charges in arrears alone, and the source of each of these, by charge code; its charges
    in advance with theirs; and what it is in each of its phases.
    """

    version: PlanVersion
    in_arrears: PlanVersion
    sources: tuple[tuple[str, Source], ...]
    in_advance: tuple[tuple[Charge, Source], ...]
    in_phases: tuple[tuple[Phase, "MeteredVersion"], ...] = ()

    @classmethod
    def of(cls, version: PlanVersion, recurring: Container[str] = ()) -> "MeteredVersion":
        """`recurring` are the meters whose units go on into the next period."""
        in_arrears = tuple(charge for charge in version.charges if not charge.in_advance)
        return cls(
            version,
            replace(version, charges=in_arrears),
            tuple((charge.code, source_of(charge)) for charge in in_arrears),
            tuple((charge, source_of(charge, recurring)) for charge in version.charges if charge.in_advance),
            tuple((phase, cls.of(in_phase(version, phase), recurring)) for phase in version.phases),
        )

    def in_month(self, month: int) -> "MeteredVersion":
        """Of the contract, counted from 0."""
        found = phase_in(self.version, month)
        return next((metered for phase, metered in self.in_phases if phase is found), self)


Needs: TypeAlias = Mapping[Split, tuple[str, ...]]
"""Meters by how their usage is to be told, in the order of charges."""


def source_of(charge: Charge, recurring: Container[str] = ()) -> Source:
    """Metering does not tell parts by the hour: a price by time of day is only told its windows without filters."""
    split = Split(
        parts=tuple((part.code, part.properties) for part in charge.filters),
        group_by=charge.group_keys,
        first_events=0 if charge.in_advance else first_events_of(charge),
        accumulates=charge.accumulation is Accumulation.CONTRACT,
        hours=charge.price if isinstance(charge.price, TimeOfDayPrice) and not charge.filters else None,
        prorated=charge.prorated,
        in_advance=charge.in_advance,
        renewed=charge.in_advance and charge.meter_code in recurring,
    )
    return Source(charge.meter_code, split)


def first_events_of(charge: Charge) -> int:
    """How many of the first events of a period matter to a price of the charge."""
    return max(_first_events(price, prorated=charge.prorated) for price in charge.prices)


def needs_of(versions: Iterable[MeteredVersion]) -> Needs:
    """Together: what several charges need in the same way stands there once."""
    meters: dict[Split, dict[str, None]] = {}
    for version in versions:
        for metered in (version, *(each for _, each in version.in_phases)):
            for _, source in (*metered.sources, *metered.in_advance):
                meters.setdefault(source.split, {})[source.meter_code] = None
    return {split: tuple(codes) for split, codes in meters.items()}


def _first_events(price: Price, *, prorated: bool) -> int:
    """Units that are prorated are walked through the tiers of a graduated price."""
    if prorated and isinstance(price, GraduatedPrice):
        return ALL_EVENTS
    if not isinstance(price, PercentagePrice):
        return 0
    if price.prices_each_transaction or (price.free_amount and not price.free_transactions):
        return ALL_EVENTS
    return min(price.free_transactions, ALL_EVENTS)
