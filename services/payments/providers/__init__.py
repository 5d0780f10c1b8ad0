"""What a payment processor must be able to do, in Weir's words. One package for each, over its official SDK."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from libs.common.money import Money
from services.payments.domain.attempt import Outcome
from services.payments.domain.method import MethodKind
from services.payments.domain.reconciliation import Payout


class Capability(StrEnum):
    """What not every processor can do."""

    CARDS = "CARDS"
    SEPA_DEBIT = "SEPA_DEBIT"
    BACS_DEBIT = "BACS_DEBIT"
    ACH_DEBIT = "ACH_DEBIT"
    SAVED_METHODS = "SAVED_METHODS"
    """Charges without the customer."""
    ASYNC_SETTLEMENT = "ASYNC_SETTLEMENT"
    """A charge may be PENDING for days."""
    REFUNDS = "REFUNDS"
    HOSTED_PAGES = "HOSTED_PAGES"
    LOOKUP = "LOOKUP"
    """Charges and refunds can be asked for. Without it, webhooks alone tell of them once a key's life has ended."""
    EVENT_LIST = "EVENT_LIST"
    """Events of the past can be listed."""
    RECORD_LIST = "RECORD_LIST"
    """Charges and refunds of the past can be listed."""


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
class SetupPage:
    """A request for a page on which a customer saves a method. `currency` is what is going to be charged."""

    tenant_id: str
    customer_id: str
    customer_reference: str
    currency: str
    return_url: str
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """A request for a page on which a customer pays by hand, or authenticates what was not charged without them.

    The charge that comes of it shows as attempt `number` of `payment_id`. `expire_time` is when the page ends, at least
    half an hour ahead and at most a day, and part of the request: a repeat has the same.
    """

    tenant_id: str
    payment_id: str
    number: int
    idempotency_key: str
    invoice_number: str
    customer_reference: str
    amount: Money
    return_url: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """`reference` is the processor's id of the page, `url` where the customer's browser is to be sent."""

    reference: str
    url: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The processor looked at the request and does not do it."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class SavedMethod:
    reference: str
    label: str
    kind: MethodKind = MethodKind.OTHER


class Subject(StrEnum):
    """What an event is about."""

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    METHOD = "METHOD"
    """A customer has saved a method on a page."""
    DISPUTE = "DISPUTE"
    """Money that was collected is taken back; the reference is the charge."""
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Event:
    """A verified webhook, or one of several that came in one. `body` is its part of what came.

    `reference` is the processor's id of the subject, and empty when that is OTHER; of a METHOD it is a token to attach,
    and `customer_reference` says whose. `error` says why the event cannot be used, and is empty when it can.
    """

    id: str
    type: str
    subject: Subject
    reference: str
    body: bytes
    customer_reference: str = ""
    error: str = ""


class Report(StrEnum):
    """Types of events that tell of reports about payouts."""

    REPORT_AVAILABLE = "REPORT_AVAILABLE"


REPORTS = frozenset(Report)


class ProcessorUnavailable(Exception):
    """No usable answer. `repeats`: the processor has recorded an error under the idempotency key and will repeat it."""

    def __init__(self, cause: str, *, repeats: bool = False) -> None:
        super().__init__(cause)
        self.repeats = repeats


class SignatureRefused(Exception):
    """Nothing proves that the processor sent the webhook."""


class Processor(Protocol):
    """One account at a processor.

    All but `charge`, `refund` and `events` raise ProcessorUnavailable without a usable answer. What has an idempotency
    key answers, repeated with it within `key_life`, what the first request led to.
    """

    capabilities: frozenset[Capability]
    key_life: timedelta

    async def check(self, webhook_path: str) -> Sequence[str]:
        """What is wrong with the account's keys and its webhooks, as far as the processor tells: a sentence each."""

    async def create_customer(self, tenant_id: str, customer_id: str, key: str) -> str | Refused:
        """What the processor knows the customer by."""

    async def attach(self, customer_reference: str, token: str, key: str) -> SavedMethod | Refused:
        """Keep the method behind `token` for charges without the customer."""

    async def setup_page(self, page: SetupPage) -> Page | Refused:
        """An event about a METHOD tells when the customer is done; its token is then attached as any other."""

    async def payment_page(self, page: PaymentPage) -> Page | Refused:
        """Events about a CHARGE tell what became of it."""

    async def close_page(self, reference: str) -> bool:
        """Nobody can pay on this payment page from here on; whoever has, has. Whether it is sure that nobody has."""

    async def charge(self, charge: Charge) -> Outcome:
        """Ask for the money."""

    async def look_up(self, charge: Charge) -> Sighting | None:
        """Find what `charge` led to without its idempotency key; None: the processor never carried it out."""

    async def fetch(self, reference: str) -> Sighting | None:
        """The charge as it is now; None: there is no such charge."""

    async def cancel(self, reference: str) -> Outcome:
        """Make sure that a charge that was declined, or waits for the customer, can never succeed, unless it has.

        Declined: it is sure.
        """

    async def refund(self, refund: Refund) -> Outcome:
        """Ask for money to be given back.

        Never RequiresAction. Pending: the processor has it and will tell. Declined may follow Succeeded by weeks, when
        the customer's bank sends the money back; its `reference` is the refund.
        """

    async def look_up_refund(self, refund: Refund) -> RefundSighting | None:
        """Find what `refund` led to without its idempotency key; None: the processor never carried it out."""

    async def fetch_refund(self, reference: str) -> RefundSighting | None:
        """The refund as it is now; None: there is no such refund."""

    def events(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Event]:
        """What a webhook's raw body says. `headers` have lower-case names. Raises SignatureRefused."""

    def list_events(self, since: datetime) -> AsyncIterator[Event]:
        """Everything that happened since then, as the webhooks would have told it; nothing without EVENT_LIST."""

    def list_records(self, since: datetime, until: datetime) -> AsyncIterator[Sighting | RefundSighting]:
        """Charges and refunds made in the half-open interval, as they are now; nothing without RECORD_LIST."""

    def list_payouts(self, since: datetime, until: datetime, reports: Sequence[bytes]) -> AsyncIterator[Payout]:
        """Payouts that were made in the half-open interval, with their items. `reports` are the events that came then
        of types in `REPORTS`, of processors that write reports instead.
        """

    async def sight(self, event: Event) -> Sighting | RefundSighting | None:
        """The CHARGE or REFUND that an event is about: as it is now, or without LOOKUP as the event says.

        None: the processor knows no such thing.
        """
