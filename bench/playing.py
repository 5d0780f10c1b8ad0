"""Playing scenarios, for `python -m bench.books`: `examples/scenarios/tiers-over-a-year.yaml` on a stack of its own.

- scenario_12_months_s: one alone, the median of five.
- scenarios_per_s: 24 of them, four at a time.
"""

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from cli.scenario.reading import read_scenario
from cli.scenario.running import Outcome, run_scenarios
from cli.stack.secrets import load
from cli.stack.stack import running

SCENARIO = Path(__file__).parents[1] / "examples" / "scenarios" / "tiers-over-a-year.yaml"
ALONE, MANY, PARALLEL = 5, 24, 4


async def measure() -> dict[str, float]:
    scenario = read_scenario(SCENARIO)
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        Path(folder).chmod(0o755)  # where Postgres runs as another user
        async with running(Path(folder), print) as stack:
            signing_key = load(Path(folder)).signing_key
            alone = []
            for _ in range(1 + ALONE):
                [outcome] = await run_scenarios(stack.endpoint, signing_key, [scenario], 1, _must_hold)
                alone.append(outcome.seconds)
            began = time.perf_counter()
            await run_scenarios(stack.endpoint, signing_key, [scenario] * MANY, PARALLEL, _must_hold)
            seconds = time.perf_counter() - began
    return {
        "scenario_12_months_s": round(statistics.median(alone[1:]), 2),
        "scenarios_per_s": round(MANY / seconds, 2),
    }


def _must_hold(outcome: Outcome) -> None:
    if outcome.differences:
        raise RuntimeError(f"the scenario went otherwise: {outcome.differences}")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure()), indent=2))
