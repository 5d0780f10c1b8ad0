"""Processor accounts and the ways to charge customers that they keep."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class MethodState(StrEnum):
    SAVING = "SAVING"
    ACTIVE = "ACTIVE"
    REFUSED = "REFUSED"


class MethodKind(StrEnum):
    CARD = "CARD"
    SEPA_DEBIT = "SEPA_DEBIT"
    BACS_DEBIT = "BACS_DEBIT"
    ACH_DEBIT = "ACH_DEBIT"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class ProcessorAccount:
    """An account at a payment processor ("stripe"), without its credentials. `refused_webhook_count` counts the
    webhooks that came for it without its processor's signature, last at `refused_webhook_time`.
    Everything that happened before `caught_up_time` has been listed.
    """

    tenant_id: str
    id: str
    processor: str
    create_time: datetime
    refused_webhook_count: int = 0
    refused_webhook_time: datetime | None = None
    caught_up_time: datetime | None = None

    @property
    def webhook_path(self) -> str:
        return f"/webhooks/{self.tenant_id}/{self.id}"


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """`processor_token` is what the caller gave, `reference` what the processor knows the saved method by.

    `key_generation` is part of the idempotency key of saving it: it grows when the processor has recorded an error of
    its own under the key and would repeat it.
    """

    tenant_id: str
    id: str
    customer_id: str
    processor_account_id: str
    processor_token: str
    state: MethodState
    reference: str
    label: str
    refusal_code: str
    refusal_message: str
    key_generation: int
    tries: int
    create_time: datetime
    kind: MethodKind = MethodKind.OTHER
