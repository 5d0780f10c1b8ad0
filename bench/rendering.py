"""`pdf_per_s` of `bench.books`: invoices as Factur-X on one core, from what they say to the bytes that are given out.

Each is another one: number, customer, amounts and days differ, and languages take turns. What the server adds, a read
of the books and an insert, is not in it.

    python -m bench.rendering [--count 1000]
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from libs.common.money import Money
from services.invoicing.documents import making
from services.invoicing.documents.typesetting import Typesetter
from services.invoicing.domain.customer import Address
from services.invoicing.domain.document import Buyer, Document, DocumentKind, Item, Step
from services.invoicing.domain.legal_entity import BankAccount, Branding, LegalEntity
from services.invoicing.domain.tax import InvoiceTax

MADE = datetime(2026, 3, 1, tzinfo=UTC)
COUNT, LINES = 1000, 8
CITIES = (
    ("de-DE", "Hamburg", "DE"),
    ("fr-FR", "Paris", "FR"),
    ("en-US", "Austin", "US"),
    ("ja-JP", "東京", "JP"),
    ("ar-EG", "القاهرة", "EG"),
)
LOGO = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 42"><circle cx="40" cy="20" r="15"/></svg>'
SELLER = LegalEntity(
    code="wehr",
    name="Wehr Software GmbH",
    create_time=MADE,
    update_time=MADE,
    email="billing@wehr.example",
    registration="HRB 12345, Amtsgericht Berlin",
    address=Address("Uferstraße 12", "", "Berlin", "10115", "", "DE"),
    tax_ids={"eu_vat": "DE123456788"},
    bank_account=BankAccount("", "DE89370400440532013000", "COBADEFFXXX", "Commerzbank"),
    branding=Branding(logo=LOGO),
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """`cpu_seconds` are those of the process: as many a second as one core makes, however busy the machine is."""

    count: int
    seconds: float
    cpu_seconds: float
    megabytes: float

    @property
    def pdf_per_s(self) -> float:
        return self.count / self.cpu_seconds


async def measure() -> dict[str, float]:
    """The figures of `bench.books`."""
    return {"pdf_per_s": round(render(COUNT).pdf_per_s, 1)}


def render(count: int) -> Rendered:
    """On one core, after one that is not counted."""
    if not hasattr(os, "sched_setaffinity"):
        return _render(count)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        return _render(count)
    finally:
        os.sched_setaffinity(0, cores)


def _render(count: int) -> Rendered:
    documents = [invoice(number) for number in range(count + 1)]
    typesetter = Typesetter()
    made(typesetter, documents.pop())
    begin, cpu_begin = time.perf_counter(), time.process_time()
    size = sum(len(made(typesetter, each)) for each in documents)
    return Rendered(count, time.perf_counter() - begin, time.process_time() - cpu_begin, size / 1e6)


def made(typesetter: Typesetter, document: Document) -> bytes:
    sheet = making.sheet(document)
    return making.file(typesetter.pdf(sheet.template, sheet.inputs, sheet.made_at), sheet)


def invoice(number: int) -> Document:
    locale, city, country = CITIES[number % len(CITIES)]
    address = Address(f"Street {number}", "", city, f"{number:05d}", "", country)
    tax_ids = {"eu_vat": f"{country}{number:09d}"} if country in ("DE", "FR") else {}
    buyer = Buyer(f"customer-{number}", f"Customer {number} Ltd", locale, ZoneInfo("UTC"), address, tax_ids)
    items = tuple(_item(number, line) for line in range(LINES))
    subtotal = sum((each.amount for each in items), Money(0, "EUR"))
    rate = Decimal(19) if country == "DE" else Decimal(0)
    tax = Money.rounded(subtotal.amount * rate / 100, "EUR")
    total = subtotal + tax
    return Document(
        kind=DocumentKind.INVOICE,
        number=f"INV-202603-{number:06d}",
        seller=SELLER,
        buyer=buyer,
        currency="EUR",
        issue_date=MADE.date(),
        issue_time=MADE + timedelta(seconds=number),
        items=items,
        subtotal=subtotal,
        taxes=(InvoiceTax("vat", "VAT", rate, subtotal, tax, tax.amount),),
        total=total,
        amount_due=total,
        due_date=date(2026, 3, 31),
    )


def _item(number: int, line: int) -> Item:
    """A base fee, then usage at one price and in tiers."""
    name = f"Service {line} of customer {number}"
    days = date(2026, 2, 1 + number % 20), date(2026, 2, 28)
    quantity = Decimal(1000 + 37 * number + line)
    if line == 0:
        return Item(name, Money(19_900 + number, "EUR"), *days, tax_codes=("vat",))
    price = Decimal("0.0125")
    amount = Money.rounded(quantity * price, "EUR")
    item = Item(name, amount, *days, quantity=quantity, unit_price=price, tax_codes=("vat",))
    if line % 4:
        return item
    steps = Step(Decimal(1000), price, 1000 * price), Step(quantity - 1000, price, (quantity - 1000) * price)
    return replace(item, unit_price=None, steps=steps)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT)
    found = render(parser.parse_args(arguments).count)
    print(
        json.dumps(
            {
                "pdf_per_s": round(found.pdf_per_s, 1),
                "seconds": round(found.seconds, 2),
                "cpu_seconds": round(found.cpu_seconds, 2),
                "kb_each": round(found.megabytes * 1000 / found.count, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
