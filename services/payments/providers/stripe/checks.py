"""Whether Stripe sends an account's webhooks where they belong."""

from collections.abc import Iterator, Sequence

import stripe

from services.payments.providers.disputes import TYPES
from services.payments.providers.stripe.events import CHARGE, METHOD, REFUND

NEEDED = CHARGE | REFUND | {METHOD} | {name for name in TYPES if name.startswith("charge.dispute.")}
ALL = "*"


def problems(endpoints: Sequence[stripe.WebhookEndpoint], webhook_path: str) -> Iterator[str]:
    ours = [each for each in endpoints if each.url.endswith(webhook_path)]
    enabled = [each for each in ours if each.status == "enabled"]
    if not ours:
        yield f"Stripe has no webhook endpoint whose URL ends in {webhook_path}."
    elif not enabled:
        yield "Stripe's webhook endpoint is disabled."
    else:
        sent = {kind for each in enabled for kind in each.enabled_events}
        if ALL not in sent and (absent := sorted(NEEDED - sent)):
            yield f"Stripe's webhook endpoint is not sent {', '.join(absent)}."
