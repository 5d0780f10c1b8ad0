"""`weir legal-entities`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.arguments.options import Address, Data, Json, TaxIds, execute

legal_entities = typer.Typer(help="Who bills: your companies, as documents name them.")

Code = Annotated[str, typer.Argument(metavar="CODE", help="Its name in Weir.")]
Name = Annotated[str | None, typer.Option(help="Its name in law.")]
Email = Annotated[str | None, typer.Option(help="For questions.")]
Phone = Annotated[str | None, typer.Option(help="Telephone number.")]
Website = Annotated[str | None, typer.Option(help="Web site.")]
Registration = Annotated[str | None, typer.Option(help="Its entry in a register, as it is printed.")]
Locale = Annotated[str | None, typer.Option(metavar="TAG", help="Language of documents for customers without one.")]
Bank = Annotated[
    list[str] | None,
    typer.Option("--bank", metavar="PART=TEXT", help="iban, bic, bank_name or holder; may be repeated."),
]
Instructions = Annotated[str | None, typer.Option("--payment-instructions", help="What else invoices say of paying.")]
Logo = Annotated[Path | None, typer.Option(metavar="FILE", help="An SVG, PNG or JPEG file.")]
Accent = Annotated[str | None, typer.Option("--accent-color", metavar="#RRGGBB", help="Colour of titles and lines.")]
Footer = Annotated[str | None, typer.Option(help="Text at the foot of each page.")]
Template = Annotated[Path | None, typer.Option(metavar="FILE", help="Typst source in place of the standard form.")]
NumberPrefix = Annotated[str | None, typer.Option(metavar="PREFIX", help="Number its invoices PREFIX-YYYYMM-NNNNNN.")]
Currency = Annotated[str | None, typer.Option(metavar="CODE", help="Of one-off invoices of customers without one.")]
NetTerm = Annotated[int | None, typer.Option("--net-term", metavar="DAYS", help="Days to pay, of customers with 0.")]
Tax = Annotated[
    list[str] | None,
    typer.Option(metavar="CODE", help="A tax of customers without any; may be repeated, all that there are then."),
]
Default = Annotated[bool, typer.Option("--default", help="It bills customers that no other does.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(legal_entities, name="legal-entities")


@legal_entities.command("list")
def legal_entities_list(data: Data, as_json: Json = False) -> None:
    """List legal entities."""
    from cli.commands.legal_entities import list_legal_entities

    execute(list_legal_entities(data, as_json=as_json))


@legal_entities.command("show")
def legal_entities_show(data: Data, code: Code, as_json: Json = False) -> None:
    """Show a legal entity."""
    from cli.commands.legal_entities import show_legal_entity

    execute(show_legal_entity(data, code, as_json=as_json))


@legal_entities.command("create")
def legal_entities_create(
    data: Data,
    code: Code,
    name: Annotated[str, typer.Option(help="Its name in law.")],
    address: Address = None,
    tax_id: TaxIds = None,
    email: Email = None,
    phone: Phone = None,
    website: Website = None,
    registration: Registration = None,
    locale: Locale = None,
    bank: Bank = None,
    payment_instructions: Instructions = None,
    logo: Logo = None,
    accent_color: Accent = None,
    footer: Footer = None,
    template: Template = None,
    number_prefix: NumberPrefix = None,
    currency: Currency = None,
    net_term: NetTerm = None,
    tax: Tax = None,
    default: Default = False,
    as_json: Json = False,
) -> None:
    """Make a legal entity. The first one is the default."""
    typed = _typed(locals())
    from cli.commands.legal_entities import create_legal_entity

    execute(create_legal_entity(data, code, typed, as_json=as_json))


@legal_entities.command("update")
def legal_entities_update(
    data: Data,
    code: Code,
    name: Name = None,
    address: Address = None,
    tax_id: TaxIds = None,
    email: Email = None,
    phone: Phone = None,
    website: Website = None,
    registration: Registration = None,
    locale: Locale = None,
    bank: Bank = None,
    payment_instructions: Instructions = None,
    logo: Logo = None,
    accent_color: Accent = None,
    footer: Footer = None,
    template: Template = None,
    number_prefix: NumberPrefix = None,
    currency: Currency = None,
    net_term: NetTerm = None,
    tax: Tax = None,
    default: Default = False,
    as_json: Json = False,
) -> None:
    """Change what is given of a legal entity, for what is issued from now on."""
    typed = _typed(locals())
    from cli.commands.legal_entities import update_legal_entity

    execute(update_legal_entity(data, code, typed, as_json=as_json))


def _typed(options: dict[str, Any]) -> dict[str, Any]:
    """What of the options was given."""
    others = {"data", "code", "as_json"}
    return {
        name: value
        for name, value in options.items()
        if name not in others and value is not None and value is not False
    }
