"""The tenant's billing clock: real time, or a test clock that stands still until it is advanced (law 11)."""

from dataclasses import dataclass
from datetime import datetime

from libs.common.errors import FailedPrecondition


@dataclass(frozen=True, slots=True)
class BillingClock:
    """`test_now` is where a test clock stands; None is real time."""

    test_now: datetime | None

    def now(self, real_now: datetime) -> datetime:
        """The tenant's now."""
        return real_now if self.test_now is None else self.test_now

    def require_not_after(self, target: datetime, real_now: datetime) -> None:
        """A clock only goes forward. Raises FailedPrecondition CLOCK_BACKWARD."""
        if target < (now := self.now(real_now)):
            raise FailedPrecondition(
                "CLOCK_BACKWARD",
                f"the clock stands at {now.isoformat()} and can't go back to {target.isoformat()}",
                now=now.isoformat(),
            )
