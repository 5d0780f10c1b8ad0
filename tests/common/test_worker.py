"""The alarm clock: sweeps are rung, keep being rung, and lose nothing when Redis does."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from libs.common.worker import Alarm, Bells, Position, Sweep, run_worker
from libs.embedded.valkey import Valkey


@asynccontextmanager
async def working(
    service: str, redis_url: str, sweeps: Mapping[str, Sweep], follow: Position | None = None
) -> AsyncIterator[None]:
    running = asyncio.create_task(
        run_worker(service, redis_url, sweeps, follow=follow, followers=sweeps, handle_signals=False)
    )
    yield
    running.cancel()
    await running


async def until(event: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await event.wait()


async def test_a_sweep_is_repeated_until_it_says_that_nothing_is_left(valkey: Valkey) -> None:
    rows, done = [1, 2, 3], asyncio.Event()

    async def sweep() -> bool:
        if rows:
            rows.pop()
        else:
            done.set()
        return bool(rows)

    async with working("repeated", valkey.url, {"rows": sweep}):
        await until(done)
    assert not rows


async def test_a_sweep_that_fails_is_rung_again_and_does_not_stop_its_neighbour(valkey: Valkey) -> None:
    tries, again, neighbour = 0, asyncio.Event(), asyncio.Event()

    async def failing() -> bool:
        nonlocal tries
        tries += 1
        if tries > 1:
            again.set()
        raise ValueError("a bad row")

    async def sound() -> bool:
        neighbour.set()
        return False

    async with working("failing", valkey.url, {"failing": failing, "sound": sound}):
        await until(again)
        await until(neighbour)


async def test_a_sweep_never_runs_twice_at_once_in_one_process(valkey: Valkey) -> None:
    running = most = calls = 0
    enough = asyncio.Event()

    async def slow() -> bool:
        nonlocal running, most, calls
        running, calls = running + 1, calls + 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        if calls > 5:
            enough.set()
        return False

    alarm = Alarm(valkey.url, "single")
    async with working("single", valkey.url, {"slow": slow}):
        while not enough.is_set():
            await alarm.ring("slow")
            await asyncio.sleep(0.01)
    await alarm.aclose()
    assert most == 1


async def test_a_sweep_is_rung_for_the_last_position_even_if_that_came_while_it_ran() -> None:
    """Without arq's clock; the log can't be read now and then."""
    head, asked = 0, 0
    seen: list[int] = []
    done = asyncio.Event()

    async def position() -> int:
        nonlocal asked
        asked += 1
        if asked % 3 == 2:
            raise OSError("the database is away")
        return head

    async def sweep() -> bool:
        nonlocal head
        seen.append(head)
        if head < 3:
            head += 1
        else:
            done.set()
        return False

    bells = Bells({"rows": sweep})
    following = asyncio.create_task(bells.follow(position, ["rows"]))
    await until(done)
    following.cancel()
    await bells.finish()
    assert seen == [0, 1, 2, 3]


async def test_a_followed_sweep_under_way_comes_to_its_end_when_the_worker_stops(valkey: Valkey) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def position() -> int:
        return 1

    async def sweep() -> bool:
        begun.set()
        await asyncio.sleep(0.5)
        ended.set()
        return False

    async with working("ending", valkey.url, {"rows": sweep}, position):
        await until(begun)
    assert ended.is_set()


async def test_an_alarm_is_made_and_rung_while_redis_is_away_and_rings_once_it_is_back(tmp_path: Path) -> None:
    rung = asyncio.Event()

    async def sweep() -> bool:
        rung.set()
        return False

    server = Valkey(tmp_path)
    await server.start()
    await server.stop()
    alarm = Alarm(server.url, "away")
    await alarm.ring("rows")
    await server.start()
    async with working("away", server.url, {"rows": sweep}):
        rung.clear()
        await alarm.ring("rows")
        await until(rung)
    await alarm.aclose()
    await server.stop()
