"""What is asked of one version of a meter: the same of all subscriptions that a question is asked of."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from services.metering.domain.buckets import Segment, covered_period, is_in_buckets, segments
from services.metering.domain.lanes import Measure, measure_of
from services.metering.domain.meters import Aggregation, Meter
from services.metering.domain.usage import Question

ALL = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Ask:
    """One question to one version of a meter, which counts while it is in effect."""

    question: Question
    meter: Meter

    @cached_property
    def is_in_buckets(self) -> bool:
        """Whether buckets can answer."""
        return is_in_buckets(self.meter, self.question)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        return segments(self.meter, self.question)

    @cached_property
    def measure(self) -> Measure:
        """What buckets are to tell, divided no more than is asked for."""
        measure = measure_of(self.meter)
        assert measure is not None
        return replace(measure, dimensions=self.question.dimensions)

    @cached_property
    def period(self) -> tuple[datetime, datetime]:
        """Of the events that answer it."""
        return covered_period(self.meter, self.question)

    @cached_property
    def most_events(self) -> int:
        """As many single events are needed, beside what all come to."""
        if self.meter.aggregation is Aggregation.UNIQUE_COUNT or self.question.charged_in_advance:
            return ALL
        return self.question.first_events
