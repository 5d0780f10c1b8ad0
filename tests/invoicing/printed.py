"""Documents of a small company and its customers all over the world, for tests of how they look and what they say."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from libs.common.money import Money
from services.invoicing.domain.account import Booked, Payment, Receipt, Statement, entries
from services.invoicing.domain.bill import Bill, totalled
from services.invoicing.domain.credit_note import Kind, Reason
from services.invoicing.domain.customer import Address
from services.invoicing.domain.discount import Terms, discounted
from services.invoicing.domain.document import (
    Buyer,
    Credited,
    Document,
    DocumentKind,
    Item,
    Step,
    of_invoice,
)
from services.invoicing.domain.invoice import AppliedCredit, Invoice, PaymentStatus, State
from services.invoicing.domain.legal_entity import BankAccount, Branding, LegalEntity
from services.invoicing.domain.line import Line, LineKind
from services.invoicing.domain.period import Period
from services.invoicing.domain.tax import Tax

MADE = datetime(2026, 3, 1, tzinfo=UTC)
LOGO = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 42"><g fill="none" stroke="#0f5e6b" stroke-width="4">'
    b'<path d="M4 14 q9 -9 18 0 t18 0"/><path d="M4 25 q9 -9 18 0 t18 0"/><path d="M4 36 q9 -9 18 0 t18 0"/></g>'
    b'<circle cx="70" cy="20" r="15" fill="#0f5e6b"/></svg>'
)
SELLER = LegalEntity(
    code="wehr",
    name="Wehr Software GmbH",
    create_time=MADE,
    update_time=MADE,
    email="billing@wehr.example",
    phone="+49 30 1234567",
    website="wehr.example",
    registration="HRB 12345, Amtsgericht Berlin",
    address=Address("Uferstraße 12", "", "Berlin", "10115", "", "DE"),
    tax_ids={"eu_vat": "DE123456788"},
    bank_account=BankAccount("", "DE89370400440532013000", "COBADEFFXXX", "Commerzbank"),
    branding=Branding(logo=LOGO),
)
BUYERS = {
    "de-DE": Buyer(
        "globex",
        "Globex AG",
        "de-DE",
        ZoneInfo("Europe/Berlin"),
        Address("Bahnhofstraße 1", "", "Hamburg", "20095", "", "DE"),
        {"eu_vat": "DE987654321"},
    ),
    "en-US": Buyer(
        "initech",
        "Initech LLC",
        "en-US",
        ZoneInfo("America/Chicago"),
        Address("4120 Freidrich Lane", "Suite 200", "Austin", "78744", "TX", "US"),
    ),
    "fr-FR": Buyer(
        "dupont",
        "Dupont & Fils SARL",
        "fr-FR",
        ZoneInfo("Europe/Paris"),
        Address("12, rue de la Paix", "", "Paris", "75002", "", "FR"),
        {"eu_vat": "FR40303265045"},
    ),
    "ja-JP": Buyer(
        "tanaka",
        "田中商事株式会社",
        "ja-JP",
        ZoneInfo("Asia/Tokyo"),
        Address("丸の内1-1-1", "", "千代田区", "100-0005", "東京都", "JP"),
    ),
    "ar-EG": Buyer(
        "nile",
        "شركة النيل للتجارة",
        "ar-EG",
        ZoneInfo("Africa/Cairo"),
        Address("١٢ شارع التحرير", "", "القاهرة", "11511", "", "EG"),
    ),
}
FEBRUARY = date(2026, 2, 1), date(2026, 2, 28)


def euros(amount: str) -> Money:
    return Money.rounded(Decimal(amount), "EUR")


def items(count: int = 4) -> list[Item]:
    """A base fee, usage in tiers, usage at one price, and part of a month; then as many seats as are missing."""
    steps = (
        Step(Decimal(1_000_000), Decimal("0.0006"), Decimal(600)),
        Step(Decimal(1_345_678), Decimal("0.0004715"), Decimal("634.487177")),
    )
    bases = [
        Item("Team plan", euros("199"), *FEBRUARY),
        Item("API calls", euros("1234.49"), *FEBRUARY, quantity=Decimal(2_345_678), steps=steps),
        Item(
            "GPU hours, eu-central", euros("845.20"), *FEBRUARY, quantity=Decimal("338.08"), unit_price=Decimal("2.5")
        ),
        Item("Storage", euros("12.50"), date(2026, 2, 12), FEBRUARY[1], days=(17, 28)),
    ]
    seat = Item("Seat", euros("10"), *FEBRUARY, quantity=Decimal(1), unit_price=Decimal(10))
    seats = [replace(seat, description=f"Seat {number}") for number in range(1, count - 3)]
    return [*bases, *seats][:count]


def invoice(locale: str, count: int = 4, *, of: Sequence[Item] | None = None) -> Document:
    """What globex and the others owe for February 2026: 19 % at home, nothing abroad."""
    buyer, shown = BUYERS[locale], of or items(count)
    rate = Decimal(19) if buyer.address.country_code == "DE" else Decimal(0)
    lines = tuple(line(each) for each in shown)
    coupon = Terms("welcome", "Welcome", euros("100"))
    discounts = discounted(lines, [("ac_1", coupon)], "EUR")
    totals = totalled(lines, {"ust": Tax("ust", "USt", rate)}, "EUR", discounts, ("ust",))
    made = of_invoice(
        Invoice(
            id="inv_1",
            number="INV-202603-000042",
            customer_id=buyer.id,
            settlements=(),
            bill=Bill("EUR", lines, totals.taxes, discounts),
            state=State.FINALIZED,
            payment_status=PaymentStatus.PENDING,
            amount_paid=euros("0"),
            due_time=MADE,
            issue_date=date(2026, 3, 1),
            create_time=MADE,
            finalize_time=MADE,
            offset=euros("0"),
            credits=(AppliedCredit("cn_1", "INV-202601-000012-CN-001", euros("50")),),
            due_date=date(2026, 3, 31),
        ),
        SELLER,
        buyer,
        [None] * len(lines),
    )
    return replace(made, items=tuple(replace(each, tax_codes=("ust",)) for each in shown))


def line(item: Item) -> Line:
    return Line(
        kind=LineKind.BASE_FEE,
        code="base",
        description=item.description,
        source=None,
        period=Period(MADE, MADE),
        amount=item.amount,
        unrounded_amount=item.amount.amount,
        tax_codes=("ust",),
    )


def credit_note(locale: str) -> Document:
    """Half of the storage, and of nothing else."""
    whole = invoice(locale)
    item = replace(whole.items[3], amount=euros("6.25"))
    [tax] = whole.taxes
    amount = Money.rounded(item.amount.amount * tax.rate_percent / 100, "EUR")
    return replace(
        whole,
        kind=DocumentKind.CREDIT_NOTE,
        number="INV-202603-000042-CN-001",
        items=(item,),
        subtotal=item.amount,
        discounts=(),
        deductions=(),
        taxes=(replace(tax, taxable=item.amount, amount=amount, unrounded_amount=amount.amount),),
        total=item.amount + amount,
        amount_due=None,
        due_date=None,
        credited=Credited(whole.number, whole.issue_date, Kind.CREDIT, Reason.ORDER_CHANGE, ""),
    )


def receipt(locale: str) -> Receipt:
    """Paid in two parts."""
    payments = (
        Payment("pay_01m7yhaq95v4", date(2026, 3, 12), euros("2000")),
        Payment("pay_01m7yhaq95v4", date(2026, 3, 29), euros("557.51")),
    )
    return Receipt(SELLER, BUYERS[locale], "INV-202603-000042", date(2026, 3, 1), MADE, payments)


def statement(locale: str) -> Statement:
    number = "INV-202603-000042"
    booked = [
        Booked("issue", number, "", date(2026, 3, 1), euros("2607.51")),
        Booked("note/cn_1", number, f"{number}-CN-001", date(2026, 3, 5), euros("-7.44")),
        Booked("payment/pay_1/1", number, "", date(2026, 3, 12), euros("-2000")),
    ]
    opening = euros("120.5")
    days = date(2026, 3, 1), date(2026, 3, 31)
    return Statement(SELLER, BUYERS[locale], *days, opening, entries(opening, booked), MADE)
