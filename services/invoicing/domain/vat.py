"""What European VAT makes of an amount: the categories of EN 16931 (UNTDID 5305)."""

from decimal import Decimal
from enum import StrEnum

from services.invoicing.domain.customer import Address

_MEMBERS = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
EU = frozenset(_MEMBERS.split())


class Category(StrEnum):
    STANDARD = "S"
    REVERSE_CHARGE = "AE"
    EXEMPT = "E"
    EXPORT = "G"


def category(rate_percent: Decimal, seller: Address, buyer: Address, buyer_vat_id: str) -> Category:
    """Of an amount that bears `rate_percent`. Within the Union a business in another country owes the tax itself
    (articles 44 and 196 of Directive 2006/112/EC); what leaves the Union is not taxed.
    """
    if rate_percent:
        return Category.STANDARD
    if seller.country_code in EU and buyer.country_code and buyer.country_code != seller.country_code:
        if buyer.country_code not in EU:
            return Category.EXPORT
        if buyer_vat_id:
            return Category.REVERSE_CHARGE
    return Category.EXEMPT
