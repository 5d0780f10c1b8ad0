"""Runs scenarios side by side, each in a tenant of its own that nobody had before."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from cli.connection import connected
from cli.scenario.comparing import Difference
from cli.scenario.playing import Player, StepFailed
from cli.scenario.reading import Scenario
from cli.stack.endpoint import Endpoint
from cli.stack.secrets import issue
from libs.common.credentials import ALL_SCOPES

TENANT_PREFIX = "scenario-"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`differences` is empty where all went as the scenario says; `steps` counts those that were played."""

    scenario: Scenario
    tenant_id: str
    steps: int
    seconds: float
    differences: Sequence[Difference] = ()


async def run_scenarios(
    endpoint: Endpoint, signing_key: str, scenarios: Sequence[Scenario], parallel: int, done: Callable[[Outcome], None]
) -> list[Outcome]:
    """In the order given; `done` is told of each as it ends."""
    places = asyncio.Semaphore(parallel)

    async def one(scenario: Scenario) -> Outcome:
        async with places:
            outcome = await _run(endpoint, signing_key, scenario)
        done(outcome)
        return outcome

    return await asyncio.gather(*map(one, scenarios))


async def _run(endpoint: Endpoint, signing_key: str, scenario: Scenario) -> Outcome:
    tenant_id = TENANT_PREFIX + secrets.token_hex(8)
    api_key = issue(signing_key, tenant_id, ALL_SCOPES, live=False)
    begin, steps = monotonic(), 0

    def played() -> None:
        nonlocal steps
        steps += 1

    differences: Sequence[Difference] = ()
    async with connected(replace(endpoint, tenant_id=tenant_id, api_key=api_key)) as services:
        try:
            await Player(scenario, services, played).play()
        except StepFailed as failed:
            differences = failed.differences
    return Outcome(scenario, tenant_id, steps, monotonic() - begin, differences)
