"""What a payment processor must be able to do, in Weir's words. One module for each, over its official SDK."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from libs.common.money import Money
from services.payments.domain.attempt import Outcome


@dataclass(frozen=True, slots=True)
class Charge:
    """A request for money from a saved method, made only of what never changes: a repeat is the same request."""

    tenant_id: str
    payment_id: str
    number: int
    idempotency_key: str
    invoice_id: str
    invoice_number: str
    customer_reference: str
    method_reference: str
    amount: Money
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Sighting:
    """A charge as the processor shows it now. `payment_id` and `number` are empty and 0 unless Weir made it.

    `amount` is in major units of `currency`, exact.
    """

    reference: str
    tenant_id: str
    payment_id: str
    number: int
    amount: Decimal
    currency: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Refund:
    """A request to give back a part of a charge, or all of it; made only of what never changes, as a Charge is.

    `charge_reference` is the processor's id of the charge.
    """

    tenant_id: str
    refund_id: str
    idempotency_key: str
    charge_reference: str
    amount: Money
    create_time: datetime


@dataclass(frozen=True, slots=True)
class RefundSighting:
    """A refund as the processor shows it now; `refund_id` is empty unless Weir made it, `amount` as in Sighting."""

    reference: str
    tenant_id: str
    refund_id: str
    amount: Decimal
    currency: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SavedMethod:
    reference: str
    label: str


@dataclass(frozen=True, slots=True)
class MethodRefused:
    code: str
    message: str


class Subject(StrEnum):
    """What an event is about."""

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Event:
    """A verified webhook. `reference` is the processor's id of its subject; empty when the subject is OTHER.

    `error` says why it cannot be used, and is empty when it can.
    """

    id: str
    type: str
    subject: Subject
    reference: str
    error: str = ""


class ProcessorUnavailable(Exception):
    """No usable answer. `repeats`: the processor has recorded an error under the idempotency key and will repeat it."""

    def __init__(self, cause: str, *, repeats: bool = False) -> None:
        super().__init__(cause)
        self.repeats = repeats


class SignatureRefused(Exception):
    """Nothing proves that the processor sent the webhook."""


class Processor(Protocol):
    """One account at a processor.

    All but `charge`, `refund` and `event` raise ProcessorUnavailable without a usable answer.
    """

    async def create_customer(self, tenant_id: str, customer_id: str, key: str) -> str | MethodRefused:
        """The processor's id of a customer made under the idempotency `key`."""

    async def attach(self, customer_reference: str, token: str, key: str) -> SavedMethod | MethodRefused:
        """Keep the method behind `token` for charges without the customer."""

    async def charge(self, charge: Charge) -> Outcome:
        """Ask for the money. Repeated with the same key, it answers what the first request led to."""

    async def look_up(self, charge: Charge) -> Sighting | None:
        """Find what `charge` led to without its idempotency key; None: the processor never carried it out."""

    async def fetch(self, reference: str) -> Sighting | None:
        """The charge as it is now; None: there is no such charge."""

    async def cancel(self, reference: str) -> Sighting | None:
        """Make sure that the charge can never succeed, unless it has: the sighting tells."""

    async def refund(self, refund: Refund) -> Outcome:
        """Ask for money to be given back. Repeated with the same key, it answers what the first request led to.

        Never RequiresAction. Pending: the processor has it and will tell. Declined may follow Succeeded by weeks, when
        the customer's bank sends the money back; its `reference` is the refund.
        """

    async def look_up_refund(self, refund: Refund) -> RefundSighting | None:
        """Find what `refund` led to without its idempotency key; None: the processor never carried it out."""

    async def fetch_refund(self, reference: str) -> RefundSighting | None:
        """The refund as it is now; None: there is no such refund."""

    def event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        """The event in a webhook's raw body. `headers` have lower-case names. Raises SignatureRefused."""
