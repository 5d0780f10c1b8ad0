"""How a document says things: words of its language, and numbers and dates as they are written there."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal, format_percent

from libs.common.money import Money, exponent
from services.invoicing.domain.customer import Address

FALLBACK = "en"
_LRM, _RLM = "\u200e", "\u200f"
_POSTAL_CODE_LAST = frozenset(["AU", "BR", "CA", "GB", "IE", "IN", "NZ", "SG", "TH", "US", "ZA"])
_LARGEST_FIRST = frozenset(["CN", "JP", "KR", "TW"])
_CJK = {"JP": "JP", "KR": "KR", "TW": "TC", "HK": "HK", "MO": "HK", "ja": "JP", "ko": "KR", "zh_Hant": "TC"}
_SCRIPTS = ("Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai")


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one language, and how numbers and dates are written in one country of it."""

    locale: Locale
    words: Mapping[str, str]

    def __call__(self, key: str, **values: str) -> str:
        return self.words[key].format(**values) if values else self.words[key]

    @property
    def language_tag(self) -> tuple[str, str | None]:
        return self.locale.language, self.locale.territory

    @property
    def direction(self) -> str:
        return self.locale.text_direction

    def money(self, amount: Money) -> str:
        """With the currency."""
        return self._signed(format_currency(amount.amount, amount.currency, locale=self.locale))

    def figure(self, amount: Money) -> str:
        """Without the currency, which the column's head has."""
        return self._digits(amount.amount, exponent(amount.currency))

    def price(self, value: Decimal, currency: str) -> str:
        """A unit price in major units, with all its digits."""
        return self._digits(value, exponent(currency))

    def number(self, value: Decimal) -> str:
        """With all its digits."""
        return self._digits(value, 0)

    def percent(self, value: Decimal) -> str:
        """`value` percent: Decimal("8.875") is 8.875 %."""
        share = value.scaleb(-2)
        return format_percent(share, locale=self.locale, decimal_quantization=False)

    def day(self, value: date) -> str:
        return format_date(value, "long", locale=self.locale)

    def short_day(self, value: date) -> str:
        return format_date(value, "medium", locale=self.locale)

    def days(self, first: date, last: date) -> str:
        """From the first to the last day."""
        if first == last:
            return self.short_day(first)
        return f"{self.short_day(first)} – {self.short_day(last)}"

    def _digits(self, value: Decimal, least: int) -> str:
        """With all the digits that are not 0, and at `least` so many after the point."""
        needed = max(least, -int(value.normalize().as_tuple().exponent))
        pattern = "#,##0." + "0" * needed if needed else "#,##0"
        return self._signed(format_decimal(value, pattern, locale=self.locale))

    def _signed(self, text: str) -> str:
        """With the sign that is as wide as a digit, before the digits in whatever direction the text runs."""
        if "-" not in text:
            return text
        if self.direction == "rtl":
            return text.replace(_RLM, "").replace(_LRM, "").replace("-", f"{_LRM}−")
        return text.replace("-", "−")

    def fonts(self, address: Address) -> list[str]:
        """What is tried in turn for a character. Han characters are drawn as where the reader is, else as where the
        address is.
        """
        language = self.locale.language
        by_language = "zh_Hant" if language == "zh" and self.locale.script == "Hant" else language
        own = _CJK.get(by_language) if language in {"ja", "ko", "zh"} else _CJK.get(address.country_code)
        return [*_SCRIPTS, f"Noto Sans CJK {own or _CJK.get(self.locale.territory or '', 'SC')}"]

    def address(self, address: Address, *, home: str) -> list[str]:
        """Its lines; the country is written where it is not `home`."""
        code, city, region = address.postal_code, address.city, address.region
        country = self.locale.territories.get(address.country_code, address.country_code)
        abroad = country if address.country_code and address.country_code != home else ""
        if address.country_code in _LARGEST_FIRST:
            lines = [code, f"{region}{city}", f"{address.line1}{address.line2}"]
        elif address.country_code in _POSTAL_CODE_LAST:
            lines = [address.line1, address.line2, _joined(", ", city, _joined(" ", region, code))]
        else:
            lines = [address.line1, address.line2, _joined(" ", code, city), region]
        return [line for line in [*lines, abroad] if line]


def _joined(separator: str, *parts: str) -> str:
    return separator.join(part for part in parts if part)


@lru_cache(maxsize=256)
def wording(*tags: str) -> Wording:
    """Of the first of these language tags that is one; where its language is not spoken here, in English as it is
    written in that country.
    """
    for tag in tags:
        if (locale := _locale(tag)) is not None:
            if locale.language in languages():
                return Wording(locale, languages()[locale.language])
            english = _locale(f"{FALLBACK}-{locale.territory}") if locale.territory else None
            return Wording(english or Locale(FALLBACK), languages()[FALLBACK])
    return Wording(Locale(FALLBACK), languages()[FALLBACK])


@lru_cache(maxsize=1)
def languages() -> Mapping[str, Mapping[str, str]]:
    """Words by language and key."""
    folder = files(__package__) / "languages"
    return {
        each.name.removesuffix(".toml"): tomllib.loads(each.read_text("utf-8"))
        for each in folder.iterdir()
        if each.name.endswith(".toml")
    }


def _locale(tag: str) -> Locale | None:
    if not tag:
        return None
    try:
        return Locale.parse(tag, sep="-")
    except (ValueError, UnknownLocaleError):
        language = tag.partition("-")[0]
        return _locale(language) if language != tag else None
