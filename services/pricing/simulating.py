"""A period's subscriptions with their usage, read from the peers a chunk at a time, one chunk ahead of rating."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import TypeVar

from libs.common.errors import InvalidArgument
from libs.common.wire import timestamp_in
from services.pricing.convert.metered import Stretch, hours_in, hours_query, told_in, usage_queries
from services.pricing.domain.calendar import Period, zone
from services.pricing.domain.intervals import whole
from services.pricing.domain.needs import MeteredVersion, Needs, Source, needs_of
from services.pricing.domain.plans import BillingInterval
from services.pricing.domain.simulation import Span, Subject, Told, refusal_of
from services.pricing.domain.usage import Usage
from services.pricing.peers import Peers
from services.pricing.versions import Versions
from weir.invoicing.v1 import invoicing_pb2
from weir.metering.v1 import metering_pb2

T = TypeVar("T")

CALL_WEIGHT = 10_000
EVENTS_PER_WEIGHT = 10
"""Questions in one call to metering weigh at most so much: each 1, and 1 more for every ten single events it wants."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A subject, the part of the month that is asked for, and the queries that its usage takes."""

    subject: Subject
    stretch: Stretch
    needs: Needs
    queries: tuple[metering_pb2.GetUsageRequest, ...]


class Replay:
    """One reading of a billing interval of the calendar, at one watermark: the first answer's, unless one is asked."""

    def __init__(
        self,
        peers: Peers,
        versions: Versions,
        tenant_id: str,
        first_day: date,
        interval: BillingInterval,
        candidates: Sequence[MeteredVersion],
        watermark: int,
    ) -> None:
        self.watermark = watermark
        self._peers = peers
        self._versions = versions
        self._tenant_id = tenant_id
        self._first_day = first_day
        self._interval = interval
        self._candidates = candidates
        self._known: dict[tuple[str, int], tuple[MeteredVersion, Needs, InvalidArgument | None]] = {}

    async def chunks(self, plan_code: str, version: int) -> AsyncGenerator[list[tuple[Subject, Told]], None]:
        """By subscription id."""
        async with aclosing(_ahead(self._read(plan_code, version))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _read(self, plan_code: str, version: int) -> AsyncGenerator[list[tuple[Subject, Told]], None]:
        async with aclosing(_ahead(self._peers.subscriptions(self._tenant_id, plan_code))) as pages:
            async for page in pages:
                questions = [
                    await self._question(each, stretch)
                    for each in page
                    if (not version or each.plan_version == version) and (stretch := self._stretch(each)) is not None
                ]
                if questions:
                    yield await self._answered(questions)

    def _stretch(self, each: invoicing_pb2.Subscription) -> Stretch | None:
        """The part of the month in which the subscription runs, if it does."""
        start = timestamp_in(each.start_time, True, "start_time")
        full = whole(self._first_day, self._interval, zone(each.time_zone))
        first, after = max(start, full.start), full.end
        if each.HasField("end_time"):
            after = min(after, timestamp_in(each.end_time, True, "end_time"))
        if first >= after:
            return None
        return Stretch(each.id, start, Period(first, after), full, each.time_zone)

    async def _question(self, each: invoicing_pb2.Subscription, stretch: Stretch) -> _Question:
        metered, needs, refusal = await self._metered(each.plan_code, each.plan_version)
        span = Span(stretch.start, stretch.period, stretch.full_period, zone(each.time_zone))
        subject = Subject(each.id, each.customer_id, metered, span, refusal)
        return _Question(subject, stretch, needs, tuple(usage_queries(stretch, needs)))

    async def _metered(self, plan_code: str, number: int) -> tuple[MeteredVersion, Needs, InvalidArgument | None]:
        """A version, what has to be told of usage under it and the candidates, and why it can't be simulated."""
        if (known := self._known.get((plan_code, number))) is None:
            metered = MeteredVersion.of(await self._versions.whole(self._tenant_id, plan_code, number))
            refusal = refusal_of(metered.version, self._interval)
            self._known[plan_code, number] = known = metered, needs_of((metered, *self._candidates)), refusal
        return known

    async def _answered(self, questions: Sequence[_Question]) -> list[tuple[Subject, Told]]:
        answers: list[metering_pb2.GetUsageResponse] = []
        for call in _calls(query for question in questions for query in question.queries):
            response = await self._peers.usage(self._tenant_id, call, self.watermark)
            self.watermark = response.watermark
            answers += response.answers
        each = iter(answers)
        told = [told_in(one.stretch, one.needs, islice(each, len(one.queries))) for one in questions]
        return [(one.subject, {**known, **await self._hours(one)}) for one, known in zip(questions, told, strict=True)]

    async def _hours(self, question: _Question) -> Told:
        """Usage by the hour, which metering answers for one subscription at a time."""
        told: dict[Source, Sequence[Usage]] = {}
        for split, meters in question.needs.items():
            if (price := split.hours) is not None:
                request = hours_query(question.stretch, split, price, meters, self.watermark)
                response = await self._peers.hours(self._tenant_id, request)
                self.watermark = response.watermark
                told |= hours_in(split, price, response)
        return told


def _calls(queries: Iterable[metering_pb2.GetUsageRequest]) -> Iterator[list[metering_pb2.GetUsageRequest]]:
    call: list[metering_pb2.GetUsageRequest] = []
    total = 0
    for query in queries:
        weight = 1 + query.first_events // EVENTS_PER_WEIGHT
        if call and total + weight > CALL_WEIGHT:
            yield call
            call, total = [], 0
        call.append(query)
        total += weight
    if call:
        yield call


async def _ahead(source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """What `source` yields, of which the next is under way while the reader is busy with one."""

    async def following() -> tuple[T] | None:
        async for item in source:
            return (item,)
        return None

    task = asyncio.create_task(following())
    try:
        while (found := await task) is not None:
            task = asyncio.create_task(following())
            yield found[0]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await source.aclose()
