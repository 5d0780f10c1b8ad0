"""The tenant's billing clock: real time, or a test clock that stands still until it is advanced (law 11)."""

from dataclasses import dataclass
from datetime import datetime

from libs.common.errors import FailedPrecondition


@dataclass(frozen=True, slots=True)
class BillingClock:
    """`test_now` is where a test clock stands; None is real time. `target` is where it is going, None once there."""

    test_now: datetime | None
    target: datetime | None = None

    def now(self, real_now: datetime) -> datetime:
        """The tenant's now."""
        return real_now if self.test_now is None else self.test_now

    def furthest(self, real_now: datetime) -> datetime:
        """How far it goes: to its target, or it stands there."""
        return self.target or self.now(real_now)

    def toward(self, target: datetime, real_now: datetime) -> "BillingClock":
        """A test clock that goes from where this one stands to `target`. A clock only goes forward, and no less far
        than it was told before. Raises FailedPrecondition CLOCK_BACKWARD.
        """
        now, furthest = self.now(real_now), self.furthest(real_now)
        if target < furthest:
            where = "is going to" if self.target else "stands at"
            raise FailedPrecondition(
                "CLOCK_BACKWARD",
                f"the clock {where} {furthest.isoformat()} and can't go back to {target.isoformat()}",
                now=furthest.isoformat(),
            )
        return BillingClock(now, target if target > now else None)

    def stepped(self, next_due: datetime | None) -> "BillingClock":
        """At the next instant at which something falls due, or at the target, whichever comes first."""
        assert self.target is not None, "a clock that is going somewhere"
        if next_due is None or next_due >= self.target:
            return BillingClock(self.target)
        return BillingClock(next_due, self.target)
