"""Keeps children alive: one that ends is reported and started again, with growing pauses while it keeps ending."""

import asyncio
import signal
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from cli.errors import CliError
from libs.embedded.errors import EmbeddedServerError

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""A child that has lived this long has recovered; its next end is treated as its first."""


class Child(Protocol):
    """An embedded server, or a process of ours."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int: ...

    async def start(self) -> None: ...

    async def wait(self) -> int: ...

    async def stop(self) -> None: ...

    async def restart(self) -> None: ...


async def supervise(child: Child, report: Callable[[str], None], restarted: Callable[[], None]) -> None:
    """For ever; cancel it before stopping the child. `restarted` is called when the child is ready again."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        begin = monotonic()
        code = await child.wait()
        if monotonic() - begin > STEADY_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        report(f"{child.name} ended ({_reason(code)}); starting it again in {pause:.1f} s")
        pause = await _restart(child, pause, report)
        report(f"{child.name} is back (process {child.pid})")
        restarted()


async def _restart(child: Child, pause: float, report: Callable[[str], None]) -> float:
    """Start until it works; return the pause before the next time."""
    while True:
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        try:
            await child.restart()
        except (EmbeddedServerError, CliError, OSError) as error:
            report(f"{error}; trying again in {pause:.1f} s")
        else:
            return pause


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
