"""Times as people type them."""

from datetime import datetime

from cli.errors import WrongUsage
from cli.events.instant import parse_time_or_date


def typed_time(text: str, option: str) -> datetime:
    """A date, or a time such as 2023-11-16T18:00:00Z. Raises WrongUsage naming the option."""
    try:
        return parse_time_or_date(text)
    except ValueError as error:
        raise WrongUsage(f"{option}: {error}") from None
