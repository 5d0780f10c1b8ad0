"""Who bills: the seller on invoices and the documents made of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.invoicing.domain.customer import Address


@dataclass(frozen=True, slots=True)
class Branding:
    """How documents look. `logo` is an SVG, PNG or JPEG file, `accent_color` such as "#0f5e6b", `footer` the text at
    the foot of each page. `template` is Typst source that takes the place of the standard one; "" is that.
    """

    logo: bytes = b""
    accent_color: str = ""
    footer: str = ""
    template: str = ""


@dataclass(frozen=True, slots=True)
class BankAccount:
    """Where customers pay to; what is "" is not known."""

    holder: str = ""
    iban: str = ""
    bic: str = ""
    bank_name: str = ""


@dataclass(frozen=True, slots=True)
class LegalEntity:
    """A company of the tenant. Each change makes a new `version`; what was issued keeps the one it was issued by.

    `registration` is the entry in a register, as it is printed. `locale` is the language of documents for customers
    that have none. One of a tenant's `is_default`: it bills whom no other does. With a `number_prefix`
    it has numbers of its own; currency, days to pay and taxes are those of customers that have none.
    """

    code: str
    name: str
    create_time: datetime
    update_time: datetime
    version: int = 1
    is_default: bool = False
    email: str = ""
    phone: str = ""
    website: str = ""
    registration: str = ""
    locale: str = ""
    address: Address = field(default_factory=Address)
    tax_ids: Mapping[str, str] = field(default_factory=dict)
    bank_account: BankAccount = BankAccount()
    payment_instructions: str = ""
    branding: Branding = Branding()
    number_prefix: str = ""
    default_currency_code: str = ""
    net_payment_term_days: int = 0
    tax_codes: tuple[str, ...] = ()
