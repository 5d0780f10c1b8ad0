"""How documents look, against approved pictures: one of each kind in five languages, two of them not in Latin letters.

`python -m tests.invoicing.test_pictures` draws them anew. Look at them before they are approved.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat
from pypdf import PdfReader

from services.invoicing.documents import making
from services.invoicing.documents.coverage import drawable
from services.invoicing.documents.press import Sheet
from services.invoicing.documents.typesetting import Typesetter
from services.invoicing.documents.wording import languages
from services.invoicing.domain.document import Stamp
from tests.invoicing.printed import BUYERS, credit_note, invoice, receipt, statement

APPROVED = Path(__file__).parent / "pictures"
POINTS_PER_INCH = 40
TOLERANCE = 0.5
"""The mean difference of brightness, of 255: below one moved line, above what another processor rounds otherwise."""

KINDS: Mapping[str, Callable[[str], Sheet]] = {
    "invoice": lambda locale: making.sheet(invoice(locale)),
    "credit-note": lambda locale: making.sheet(credit_note(locale)),
    "receipt": lambda locale: making.sheet(receipt(locale)),
    "statement": lambda locale: making.sheet(statement(locale)),
}


@pytest.fixture(scope="module")
def typesetter() -> Typesetter:
    return Typesetter()


@pytest.mark.parametrize("locale", BUYERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_document_looks_as_it_was_approved(typesetter: Typesetter, kind: str, locale: str) -> None:
    [page] = drawn(typesetter, KINDS[kind](locale))
    approved = Image.open(APPROVED / f"{kind}-{locale}.png")
    assert page.size == approved.size
    assert difference(page, approved) < TOLERANCE


def test_the_pictures_tell_documents_apart(typesetter: Typesetter) -> None:
    """The tolerance would be none if another line, another amount or another language passed."""
    [page] = drawn(typesetter, making.sheet(invoice("de-DE")))
    others = invoice("de-DE", 3), replace(invoice("de-DE"), stamp=Stamp.VOID), invoice("fr-FR")
    for other in others:
        [drawing] = drawn(typesetter, making.sheet(other))
        assert difference(page, drawing) > TOLERANCE


def test_three_hundred_lines_break_into_pages_with_their_heads_and_the_totals_in_one_piece(
    typesetter: Typesetter,
) -> None:
    sheet = making.sheet(invoice("de-DE", 300))
    pages = [text.extract_text() for text in PdfReader(BytesIO(pdf(typesetter, sheet))).pages]
    assert 5 < len(pages) < 12
    for number, text in enumerate(pages, 1):
        assert f"Seite {number} von {len(pages)}" in text
    for text in pages[:-1]:
        assert "Beschreibung" in text
        assert "Gesamtbetrag" not in text
    assert "Zwischensumme" in pages[-1]
    assert "Gesamtbetrag" in pages[-1]
    assert "Zahlbetrag" in pages[-1]
    together = " ".join(pages)
    assert all(f"Seat {number} " in together.replace("\n", " ") for number in range(1, 297))


def test_a_document_is_the_same_to_the_byte_from_another_typesetter(typesetter: Typesetter) -> None:
    other = Typesetter()
    for kind, sheet in KINDS.items():
        assert pdf(typesetter, sheet("ja-JP")) == pdf(other, sheet("ja-JP")), kind


def test_a_character_that_no_font_has_is_a_box_and_keeps_nobody_from_his_invoice(typesetter: Typesetter) -> None:
    buyer = replace(BUYERS["de-DE"], name="Globex \U0001f680 \u0e81 \x07AG")
    reader = PdfReader(BytesIO(pdf(typesetter, making.sheet(replace(invoice("de-DE"), buyer=buyer)))))
    assert "Globex □" in reader.pages[0].extract_text()


@pytest.mark.parametrize(("number", "language"), list(enumerate(["ja", "ko", "zh", "zh-Hant"])))
def test_what_is_said_to_be_drawn_is_drawn_by_the_fonts_of_each_language(
    typesetter: Typesetter, number: int, language: str
) -> None:
    buyer = replace(BUYERS["de-DE"], locale=language, name="".join(covered()[number::24]))
    assert drawable(buyer.name) == buyer.name
    sheet = making.sheet(replace(invoice("de-DE", 1), buyer=buyer))
    assert pdf(typesetter, sheet).startswith(b"%PDF-1.7")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
@settings(deadline=None, max_examples=40)
def test_whatever_a_customer_is_called_he_gets_his_invoice(typesetter: Typesetter, name: str) -> None:
    sheet = making.sheet(replace(invoice("en-US", 1), buyer=replace(BUYERS["en-US"], name=name)))
    assert pdf(typesetter, sheet).startswith(b"%PDF-1.7")


def test_languages_have_the_same_words_with_the_same_blanks() -> None:
    blanks = {key: set(re.findall(r"{\w+}", text)) for key, text in languages()["en"].items()}
    for language, words in languages().items():
        assert {key: set(re.findall(r"{\w+}", text)) for key, text in words.items()} == blanks, language
        assert "".join(words.values()) == drawable("".join(words.values())), language


def covered() -> list[str]:
    text = (files("services.invoicing.documents") / "fonts" / "coverage.txt").read_text("ascii")
    ranges = (each.split("-") for each in text.split())
    return [chr(code) for first, last in ranges for code in range(int(first, 16), int(last, 16) + 1)]


def drawn(typesetter: Typesetter, sheet: Sheet) -> list[Image.Image]:
    pages = typesetter.png(sheet.template, sheet.inputs, POINTS_PER_INCH)
    return [Image.open(BytesIO(page)).convert("L") for page in pages]


def pdf(typesetter: Typesetter, sheet: Sheet) -> bytes:
    return making.file(typesetter.pdf(sheet.template, sheet.inputs, sheet.made_at), sheet)


def difference(one: Image.Image, other: Image.Image) -> float:
    return ImageStat.Stat(ImageChops.difference(one, other.convert("L"))).mean[0]


def draw_all() -> None:
    typesetter = Typesetter()
    for kind, sheet in KINDS.items():
        for locale in BUYERS:
            [page] = drawn(typesetter, sheet(locale))
            page.quantize(16).save(APPROVED / f"{kind}-{locale}.png", optimize=True)


if __name__ == "__main__":
    draw_all()
