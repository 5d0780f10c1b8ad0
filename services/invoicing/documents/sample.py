"""An invoice that nobody got, to try out how a legal entity's documents look."""

from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from libs.common.money import Money
from services.invoicing.documents.contents import contents
from services.invoicing.documents.press import Sheet
from services.invoicing.domain.customer import Address
from services.invoicing.domain.document import Buyer, Document, DocumentKind, Item
from services.invoicing.domain.legal_entity import LegalEntity

_BUYER = Buyer("sample", "Sample Ltd", "", ZoneInfo("UTC"), Address("1 Sample Street", "", "Sampleton", "12345"))
_AMOUNT = Money(4950, "EUR")


def sample(entity: LegalEntity) -> Sheet:
    """One page with one item."""
    day = date(2026, 1, 1)
    item = Item("Sample", _AMOUNT, day, date(2026, 1, 31), quantity=Decimal(99), unit_price=Decimal("0.5"))
    document = Document(
        kind=DocumentKind.INVOICE,
        number="INV-202602-000001",
        seller=entity,
        buyer=_BUYER,
        currency=_AMOUNT.currency,
        issue_date=day,
        issue_time=entity.create_time,
        items=(item,),
        subtotal=_AMOUNT,
        taxes=(),
        total=_AMOUNT,
        amount_due=_AMOUNT,
        due_date=date(2026, 2, 28),
    )
    return Sheet(entity.branding.template, contents(document), entity.create_time)
