"""What becomes of a plan version: it is written, sold, and no longer sold. What it says never changes."""

from enum import StrEnum


class VersionState(StrEnum):
    DRAFT = "draft"
    """Not sold yet; can be rated and simulated."""
    ACTIVE = "active"
    """New subscriptions get the newest of these."""
    ARCHIVED = "archived"
    """Sold no longer, or a draft that was discarded. Subscriptions that have it keep it."""


BEFORE = {
    VersionState.ACTIVE: (VersionState.DRAFT,),
    VersionState.ARCHIVED: (VersionState.DRAFT, VersionState.ACTIVE),
}
"""From which states a version comes into a state. It is made a draft or active, and never goes back."""
