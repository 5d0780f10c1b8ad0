"""Simulate: subscriptions and usage of the peers, rated under other versions. No connection is held meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from libs.common.rpc.server import caller
from services.pricing.convert.simulation import (
    Asked,
    change_out,
    require_different,
    require_whole,
    simulate_in,
    simulation_out,
)
from services.pricing.domain.needs import MeteredVersion
from services.pricing.domain.simulation import Change, change_of, refusal_of
from services.pricing.domain.simulation_sums import Sums
from services.pricing.peers import Peers
from services.pricing.simulating import Replay, Replayed
from services.pricing.versions import Versions
from weir.pricing.v1 import simulation_pb2
from weir.pricing.v1.simulation_pb2_grpc import SimulationServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

SUBJECTS_BETWEEN_PAUSES = 50
"""How many are rated before other calls get a turn."""


class SimulationServicer(SimulationServiceServicer):
    def __init__(self, versions: Versions, peers: Peers) -> None:
        self._versions = versions
        self._peers = peers

    async def Simulate(
        self, request: simulation_pb2.SimulateRequest, context: Context
    ) -> AsyncIterator[simulation_pb2.SimulateResponse]:
        tenant_id = caller().tenant_id
        asked = simulate_in(request)
        recurring = {meter.code async for meter in self._peers.meters(tenant_id) if meter.recurring}
        candidates = await self._candidates(tenant_id, asked, recurring)
        first, interval = asked.first_day, asked.interval or candidates[0].version.billing_interval
        require_whole(first, interval)
        versions = [each.version for each in candidates]
        sums = Sums(versions, first.isoformat(), interval, asked.plan_code, str(asked.version))
        replay = Replay(self._peers, self._versions, tenant_id, first, interval, candidates, recurring, asked.watermark)
        async with aclosing(replay.chunks(asked.plan_code, asked.version)) as chunks:
            async for chunk in chunks:
                changes = await _changes(chunk, candidates)
                for change in changes:
                    sums.add(change)
                if not asked.summary_only:
                    yield simulation_pb2.SimulateResponse(changes=map(change_out, changes))
        yield simulation_pb2.SimulateResponse(simulation=simulation_out(sums, replay.watermark))

    async def _candidates(self, tenant_id: str, asked: Asked, recurring: Container[str]) -> list[MeteredVersion]:
        versions = [
            await (self._versions.whole(tenant_id, code, number) if number else self._versions.newest(tenant_id, code))
            for code, number in asked.candidates
        ]
        require_different(versions)
        if refusals := [refusal for version in versions if (refusal := refusal_of(version, recurring))]:
            raise refusals[0]
        return [MeteredVersion.of(version, recurring) for version in versions]


async def _changes(chunk: Sequence[Replayed], candidates: Sequence[MeteredVersion]) -> list[Change]:
    changes: list[Change] = []
    for index, (subject, told) in enumerate(chunk):
        if index % SUBJECTS_BETWEEN_PAUSES == 0:
            await asyncio.sleep(0)
        changes.append(change_of(subject, candidates, told))
    return changes
