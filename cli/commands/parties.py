"""What is typed of customers and legal entities alike."""

from collections.abc import Collection, Sequence

from cli.errors import WrongUsage
from weir.invoicing.v1.invoicing_pb2 import Address, TaxId

_ADDRESS = ("line1", "line2", "city", "postal_code", "region", "country_code")


def address_of(typed: Sequence[str] | None) -> Address | None:
    return None if typed is None else Address(**parts_of(typed, "--address", _ADDRESS))


def tax_ids_of(typed: Sequence[str] | None) -> list[TaxId]:
    return [TaxId(type=kind, value=value) for kind, value in (_pair(each, "--tax-id") for each in typed or ())]


def parts_of(typed: Sequence[str] | None, option: str, known: Collection[str]) -> dict[str, str]:
    """PART=TEXT by part."""
    found = dict(_pair(each, option) for each in typed or ())
    if unknown := found.keys() - set(known):
        raise WrongUsage(f"{option} {min(unknown)}: expected one of {', '.join(known)}")
    return found


def _pair(text: str, option: str) -> tuple[str, str]:
    part, separator, value = text.partition("=")
    if not separator:
        raise WrongUsage(f"{option} {text}: expected {'TYPE=NUMBER' if option == '--tax-id' else 'PART=TEXT'}")
    return part, value
