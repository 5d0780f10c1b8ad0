"""Meters, kept in memory for less time than a change of one takes to come into effect."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from libs.common.clock import Clock
from services.pricing.convert.meters import meter_in
from services.pricing.domain.additions import Meter
from services.pricing.peers import Peers

CAPACITY = 1024
KEPT_FOR = timedelta(minutes=5)
"""A version of a meter is made ten minutes before it takes effect, at least; and it is read with when it does."""
READ_AGAIN_AFTER = timedelta(seconds=1)
"""A meter that is not there may come: while one is missing, a tenant's meters are read as often as this."""


@dataclass(slots=True)
class _Known:
    meters: dict[str, Meter] = field(default_factory=dict)
    read_time: datetime | None = None
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class Meters:
    """Of the `capacity` tenants seen last."""

    def __init__(self, peers: Peers, clock: Clock, capacity: int = CAPACITY) -> None:
        self._peers = peers
        self._clock = clock
        self._capacity = capacity
        self._tenants: OrderedDict[str, _Known] = OrderedDict()

    async def get(self, tenant_id: str, codes: Collection[str]) -> Mapping[str, Meter]:
        """The tenant's meters, with those of `codes` that there are. Asks metering where one of them is not known."""
        known = self._tenants.setdefault(tenant_id, _Known())
        self._tenants.move_to_end(tenant_id)
        if len(self._tenants) > self._capacity:
            self._tenants.popitem(last=False)
        if not self._is_fresh(known, codes):
            async with known.reading:
                if not self._is_fresh(known, codes):
                    known.meters = {meter.code: meter_in(meter) async for meter in self._peers.meters(tenant_id)}
                    known.read_time = self._clock()
        return known.meters

    def _is_fresh(self, known: _Known, codes: Collection[str]) -> bool:
        """Whether no version has taken effect since, and every code is known or metering was asked a moment ago."""
        if known.read_time is None:
            return False
        is_all = known.meters.keys() >= set(codes)
        return self._clock() < known.read_time + (KEPT_FOR if is_all else READ_AGAIN_AFTER)
