"""Where documents are typeset: in processes of their own, which a template can't get out of.

Once it has read the fonts, a process opens nothing: the kernel refuses it files and connections alike, so a template
reaches neither a secret nor a package on the network. Memory is bounded, and a process that takes too long is killed.
"""

import asyncio
import multiprocessing
import resource
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from services.invoicing.documents.typesetting import Typesetter, Unprintable

SECONDS = 5.0
SECONDS_PER_MEGABYTE = 20.0
"""What one document may take, and what more for each megabyte of what it says: 10,000 lines have 1, and take 4 s."""

START_SECONDS = 30.0
MEMORY_BYTES = 2 << 30
"""Of addresses: a process at rest has 0.3 GB of them."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is typeset: a template, "" for the standard one, its inputs, and when the file says that it was made."""

    template: str
    inputs: Mapping[str, str]
    made_at: datetime


class Press:
    """Typesets up to `size` documents at a time; the others wait. Processes start when they are first needed."""

    def __init__(self, size: int) -> None:
        self._free = asyncio.Semaphore(size)
        self._idle: list[_Typesetting] = []

    async def pdf(self, sheet: Sheet) -> bytes:
        """Raises Unprintable."""
        async with self._free:
            worker = self._idle.pop() if self._idle else await asyncio.to_thread(_Typesetting)
            try:
                made = await asyncio.to_thread(worker.pdf, sheet)
            except BaseException:
                worker.stop()
                raise
            self._idle.append(worker)
        if isinstance(made, str):
            raise Unprintable(made)
        return made

    def stop(self) -> None:
        while self._idle:
            self._idle.pop().stop()


@asynccontextmanager
async def printing(size: int) -> AsyncIterator[Press]:
    press = Press(size)
    try:
        yield press
    finally:
        press.stop()


class _Typesetting:
    """A process that typesets one sheet after another."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_typeset_all, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._answer(START_SECONDS)

    def pdf(self, sheet: Sheet) -> bytes | str:
        """The PDF, or why there is none."""
        self._connection.send(sheet)
        size = sum(map(len, sheet.inputs.values()))
        return self._answer(SECONDS + SECONDS_PER_MEGABYTE * size / 1e6)

    def stop(self) -> None:
        self._process.kill()
        self._connection.close()

    def _answer(self, seconds: float) -> bytes | str:
        try:
            if not self._connection.poll(seconds):
                raise Unprintable(f"it takes more than {seconds:g} s")
            answer: bytes | str = self._connection.recv()
        except EOFError:
            raise Unprintable("it takes more memory than a document may") from None
        return answer


def _typeset_all(connection: Connection) -> None:
    """The life of a process: the first answer is that it is ready."""
    typesetter = Typesetter()
    typesetter.read_fonts()
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    answer: bytes | str = b""
    while True:
        connection.send(answer)
        try:
            sheet: Sheet = connection.recv()
        except EOFError:
            return
        try:
            answer = typesetter.pdf(sheet.template, sheet.inputs, sheet.made_at)
        except Unprintable as error:
            answer = str(error)
