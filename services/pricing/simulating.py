"""A period's subscriptions with their usage, read from the peers a chunk at a time, one chunk ahead of rating."""

import asyncio
from collections.abc import AsyncGenerator, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import TypeAlias, TypeVar

from libs.common.errors import InvalidArgument
from libs.common.wire import timestamp_in
from services.pricing.convert.metered import (
    Stretch,
    Usages,
    events_query,
    hours_in,
    hours_query,
    recorded_in,
    told_in,
    usage_queries,
)
from services.pricing.domain.advance import Recorded
from services.pricing.domain.bills import bills
from services.pricing.domain.calendar import zone
from services.pricing.domain.intervals import whole
from services.pricing.domain.needs import MeteredVersion, Needs, Source, Split, needs_of
from services.pricing.domain.plans import BillingInterval
from services.pricing.domain.simulation import Subject, Told, refusal_of
from services.pricing.domain.time_of_day import TimeOfDayPrice
from services.pricing.peers import Peers
from services.pricing.versions import Versions
from weir.invoicing.v1 import invoicing_pb2
from weir.metering.v1 import metering_pb2

T = TypeVar("T")

Replayed: TypeAlias = tuple[Subject, Mapping[BillingInterval, Sequence[Told]]]
"""A subject, and what each of its bills needs to know."""

CALL_WEIGHT = 10_000
EVENTS_PER_WEIGHT = 10
"""Questions in one call to metering weigh at most so much: each 1, and 1 more for every ten single events it wants."""


@dataclass(frozen=True, slots=True)
class _Question:
    """The part of a billing interval that is asked for, and the queries that its usage takes."""

    stretch: Stretch
    needs: Needs
    queries: tuple[metering_pb2.GetUsageRequest, ...]

    @classmethod
    def of(cls, stretch: Stretch, needs: Needs) -> "_Question":
        return cls(stretch, needs, tuple(usage_queries(stretch, needs)))


@dataclass(frozen=True, slots=True)
class _Version:
    """A version that bills subscriptions, what has to be told of usage under it and the candidates, by their billing
    interval, and why it can't be simulated, if so.
    """

    metered: MeteredVersion
    needs: Mapping[BillingInterval, Needs]
    refusal: InvalidArgument | None


@dataclass(frozen=True, slots=True)
class _Asking:
    """A subject, and a question for each of its bills."""

    subject: Subject
    questions: Mapping[BillingInterval, Sequence[_Question]]


class Replay:
    """One reading of a period that begins on a day of each customer's calendar, at one watermark: the first answer's,
    unless one is asked.
    """

    def __init__(
        self,
        peers: Peers,
        versions: Versions,
        tenant_id: str,
        first_day: date,
        interval: BillingInterval,
        candidates: Sequence[MeteredVersion],
        recurring: Container[str],
        watermark: int,
    ) -> None:
        self.watermark = watermark
        self._peers = peers
        self._versions = versions
        self._tenant_id = tenant_id
        self._first_day = first_day
        self._interval = interval
        self._candidates = candidates
        self._recurring = recurring
        self._known: dict[tuple[str, int], _Version] = {}

    async def chunks(self, plan_code: str, version: int) -> AsyncGenerator[list[Replayed], None]:
        """By subscription id."""
        async with aclosing(_ahead(self._read(plan_code, version))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _read(self, plan_code: str, version: int) -> AsyncGenerator[list[Replayed], None]:
        async with aclosing(_ahead(self._peers.subscriptions(self._tenant_id, plan_code))) as pages:
            async for page in pages:
                asking = [
                    found
                    for each in page
                    if (not version or each.plan_version == version) and (found := await self._asking(each)) is not None
                ]
                if asking:
                    yield await self._answered(asking)

    async def _asking(self, each: invoicing_pb2.Subscription) -> _Asking | None:
        """None where nothing of the period is billed."""
        tz = zone(each.time_zone)
        start = timestamp_in(each.start_time, True, "start_time")
        end = timestamp_in(each.end_time, True, "end_time") if each.HasField("end_time") else None
        period = whole(self._first_day, self._interval, tz)
        if start >= period.end or (end is not None and end <= max(start, period.start)):
            return None
        version = await self._version(each.plan_code, each.plan_version)
        by_interval = {interval: tuple(bills(start, end, period, interval, tz)) for interval in version.needs}
        subject = Subject(each.id, each.customer_id, version.metered, by_interval, version.refusal)
        questions = {
            interval: [_Question.of(Stretch.of(each.id, bill.span), version.needs[interval]) for bill in found]
            for interval, found in by_interval.items()
        }
        return _Asking(subject, {} if version.refusal else questions)

    async def _version(self, plan_code: str, number: int) -> _Version:
        if (known := self._known.get((plan_code, number))) is None:
            version = await self._versions.whole(self._tenant_id, plan_code, number)
            metered, refusal = MeteredVersion.of(version, self._recurring), refusal_of(version, self._recurring)
            billed: dict[BillingInterval, list[MeteredVersion]] = {}
            for each in (metered, *self._candidates):
                billed.setdefault(each.version.billing_interval, []).append(each)
            needs = {interval: needs_of(versions) for interval, versions in billed.items()}
            self._known[plan_code, number] = known = _Version(metered, needs, refusal)
        return known

    async def _answered(self, asking: Sequence[_Asking]) -> list[Replayed]:
        answers: list[metering_pb2.GetUsageResponse] = []
        queries = (
            query
            for one in asking
            for questions in one.questions.values()
            for question in questions
            for query in question.queries
        )
        for call in _calls(queries):
            response = await self._peers.usage(self._tenant_id, call, self.watermark)
            self.watermark = response.watermark
            answers += response.answers
        each = iter(answers)
        return [
            (
                one.subject,
                {
                    interval: [await self._told(question, each) for question in questions]
                    for interval, questions in one.questions.items()
                },
            )
            for one in asking
        ]

    async def _told(self, question: _Question, answers: Iterator[metering_pb2.GetUsageResponse]) -> Told:
        usages = told_in(question.stretch, question.needs, islice(answers, len(question.queries)))
        recorded: dict[Source, Sequence[Recorded]] = {}
        for split, meters in question.needs.items():
            if split.in_advance:
                for meter in meters:
                    recorded[Source(meter, split)] = await self._recorded(question.stretch, split, meter)
            elif (price := split.hours) is not None:
                usages |= await self._hours(question.stretch, split, price, meters)
        return Told(usages, recorded)

    async def _hours(self, stretch: Stretch, split: Split, price: TimeOfDayPrice, meters: Sequence[str]) -> Usages:
        """Usage by the hour, which metering answers for one subscription at a time."""
        request = hours_query(stretch, split, price, meters, self.watermark)
        response = await self._peers.hours(self._tenant_id, request)
        self.watermark = response.watermark
        return hours_in(split, price, response)

    async def _recorded(self, stretch: Stretch, split: Split, meter_code: str) -> list[Recorded]:
        """Single events, which metering answers for one subscription and meter at a time."""
        request = events_query(stretch, split, meter_code, self.watermark)
        response = await self._peers.event_charges(self._tenant_id, request)
        self.watermark = response.watermark
        return recorded_in(response)


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
