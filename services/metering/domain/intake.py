"""Intake: how many events were received, told apart by what became of them."""

from collections import Counter
from collections.abc import Iterable

from services.metering.domain.events import Outcome

ACCEPTED = "ACCEPTED"
DUPLICATE = "DUPLICATE"
"""Fates; that of a refused event is the reason it was refused for."""


def not_recorded(outcomes: Iterable[tuple[str, Outcome]]) -> Counter[tuple[str, str]]:
    """By tenant and fate, how many events were answered and are not accepted."""
    counts: Counter[tuple[str, str]] = Counter()
    for tenant_id, outcome in outcomes:
        counts[tenant_id, DUPLICATE] += len(outcome.duplicate_indexes)
        counts.update((tenant_id, refusal.reason) for refusal in outcome.refusals)
    return +counts
