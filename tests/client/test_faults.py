"""Processes end without warning, on either side; afterwards everything that was recorded counts once."""

import asyncio
from pathlib import Path

from libs.client import UsageClient
from tests.client.conftest import Metering, Process, start, stop
from tests.client.test_usage_client import events


async def recorder(metering: Metering, directory: Path, prefix: str, *count: str) -> Process:
    arguments = ["-m", "tests.client.recorder", metering.target, metering.api_key, str(directory), prefix, *count]
    return await start(arguments, {})


async def lines(process: Process, count: int) -> list[str]:
    assert process.stdout is not None
    return [(await process.stdout.readline()).decode().strip() for _ in range(count)]


async def test_a_service_that_is_killed_over_and_over_counts_everything_once(away: Metering, tmp_path: Path) -> None:
    total = 0
    async with UsageClient(away.target, away.api_key, tmp_path) as usage:
        for life in range(2):
            async with away.process() as process:
                for part in range(20):
                    await asyncio.sleep(0.01)
                    total += len(usage.record_many(events(1_000, f"{life}-{part}")))
                assert 0 < usage.waiting() < 20_000
                await stop(process)
            total += len(usage.record_many(events(1_000, f"{life}-without")))
        async with away.running():
            await usage.flush()
            assert await away.used() == (total, total)


async def test_what_killed_processes_had_recorded_the_next_one_delivers(metering: Metering, tmp_path: Path) -> None:
    said: list[str] = []
    for life in range(2):
        process = await recorder(metering, tmp_path, f"life{life}")
        said += await lines(process, 1_000)
        said += await stop(process)
    async with UsageClient(metering.target, metering.api_key, tmp_path) as usage:
        await usage.flush()
    counted, _ = await metering.used()
    assert len(said) <= counted <= len(said) + 2  # one each may have been recorded and not said


async def test_a_process_that_is_killed_while_the_service_is_away_loses_nothing(away: Metering, tmp_path: Path) -> None:
    process = await recorder(away, tmp_path, "alone")
    said = await lines(process, 2_000)
    said += await stop(process)
    async with away.running(), UsageClient(away.target, away.api_key, tmp_path) as usage:
        waiting = usage.waiting()
        await usage.flush()
        assert await away.used() == (waiting, waiting)
    assert len(said) <= waiting <= len(said) + 1


async def test_processes_share_a_directory_and_one_takes_over_from_another(metering: Metering, tmp_path: Path) -> None:
    first = await recorder(metering, tmp_path, "first")
    said = await lines(first, 1)
    others = [await recorder(metering, tmp_path, f"other{n}", "1500") for n in range(2)]
    for other in others:
        said += await lines(other, 1)
    said += await stop(first)
    for other in others:
        rest, _ = await other.communicate()
        assert other.returncode == 0
        said += rest.decode().splitlines()
    async with UsageClient(metering.target, metering.api_key, tmp_path) as usage:
        await usage.flush()  # what the first one recorded after the others had flushed
    counted, _ = await metering.used()
    assert len(said) <= counted <= len(said) + 1
