"""Who is billed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from libs.common.errors import FailedPrecondition

ERASED_NAME = "erased"


@dataclass(frozen=True, slots=True)
class Address:
    """`country_code` is ISO 3166-1 alpha-2; what is "" is not known."""

    line1: str = ""
    line2: str = ""
    city: str = ""
    postal_code: str = ""
    region: str = ""
    country_code: str = ""


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who is billed. `time_zone` is an IANA name: where the customer's days and months begin.

    `tax_codes` are the taxes on lines that no plan, charge or request names any for.
    `currency` is that of one-off invoices that name none, "" without one. `tax_ids` are numbers by type. Invoices that
    come to nothing are finalized, unless the customer `skips_zero_amounts`. With a `number_prefix` the customer's
    invoices have numbers of their own. `legal_entity_code` is who bills it, "" the tenant's default one.
    """

    id: str
    name: str
    email: str
    time_zone: str
    create_time: datetime
    currency: str = ""
    locale: str = ""
    address: Address = Address()
    tax_ids: Mapping[str, str] = field(default_factory=dict)
    net_payment_term_days: int = 0
    grace_period_days: int = 0
    skips_zero_amounts: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    erase_time: datetime | None = None
    tax_codes: tuple[str, ...] = ()
    number_prefix: str = ""
    legal_entity_code: str = ""


def require_not_erased(customer: Customer) -> None:
    """Raises FailedPrecondition CUSTOMER_ERASED."""
    if customer.erase_time is not None:
        raise FailedPrecondition(
            "CUSTOMER_ERASED", f"the personal data of customer {customer.id} was erased", customer_id=customer.id
        )


def erased(customer: Customer, now: datetime) -> Customer:
    """Without what says who it is; what invoices are a matter of stays."""
    if customer.erase_time is not None:
        return customer
    return replace(customer, name=ERASED_NAME, email="", address=Address(), tax_ids={}, metadata={}, erase_time=now)
