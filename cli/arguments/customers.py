"""`weir customers`."""

from typing import Annotated

import typer

from cli.arguments.options import Address, Data, Json, TaxIds, execute, taking

customers = typer.Typer(help="Who is billed.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The customer's name in your system.")]
Name = Annotated[str | None, typer.Option(help="The name on invoices.")]
Email = Annotated[str | None, typer.Option(help="Where documents go.")]
TimeZone = Annotated[str | None, typer.Option(metavar="ZONE", help="Where the customer's months begin.")]
Currency = Annotated[str | None, typer.Option(metavar="CODE", help="Currency of one-off invoices.")]
Locale = Annotated[str | None, typer.Option(metavar="TAG", help="Language of documents, such as de-CH.")]
NetTerm = Annotated[int | None, typer.Option("--net-term", metavar="DAYS", help="Days to pay an invoice.")]
Grace = Annotated[int | None, typer.Option("--grace", metavar="DAYS", help="Days that invoices stay drafts.")]
SkipZero = Annotated[
    bool | None, typer.Option("--skip-zero/--finalize-zero", help="What becomes of invoices that come to nothing.")
]
Metadata = Annotated[
    list[str] | None, typer.Option("--metadata", metavar="KEY=VALUE", help="May be repeated; all that there is then.")
]

Tax = Annotated[
    list[str] | None,
    typer.Option(metavar="CODE", help="A tax of the customer's; may be repeated, all that there are then."),
]

NumberPrefix = Annotated[
    str | None, typer.Option(metavar="PREFIX", help="Number its invoices PREFIX-CCC-III, not with all others.")
]
LegalEntityCode = Annotated[
    str | None, typer.Option("--legal-entity", metavar="CODE", help='Who bills it; "" for the default one.')
]


def add_to(root: typer.Typer) -> None:
    root.add_typer(customers, name="customers")


@customers.command("list")
def customers_list(data: Data, as_json: Json = False) -> None:
    """List customers."""
    from cli.commands.customers import list_customers

    execute(list_customers(data, as_json=as_json))


@customers.command("show")
def customers_show(data: Data, customer_id: Id, as_json: Json = False) -> None:
    """Show a customer."""
    from cli.commands.customers import show_customer

    execute(show_customer(data, customer_id, as_json=as_json))


def _fields(
    email: Email = None,
    time_zone: TimeZone = None,
    currency: Currency = None,
    locale: Locale = None,
    net_term: NetTerm = None,
    grace: Grace = None,
    skip_zero: SkipZero = None,
    metadata: Metadata = None,
    tax: Tax = None,
    number_prefix: NumberPrefix = None,
    legal_entity: LegalEntityCode = None,
    address: Address = None,
    tax_id: TaxIds = None,
) -> dict[str, object]:
    """What is said of a customer, in the contract's fields."""
    from cli.commands.customers import given, party

    fields = given(email, time_zone, currency, locale, net_term, grace, skip_zero, metadata, tax, number_prefix)
    if legal_entity is not None:
        fields["legal_entity_code"] = legal_entity
    return fields | party(address, tax_id)


@customers.command("create")
@taking(_fields)
def customers_create(
    data: Data,
    customer_id: Id,
    name: Annotated[str, typer.Option(help="The name on invoices.")],
    *,
    fields: dict[str, object],
    as_json: Json = False,
) -> None:
    """Make a customer."""
    from cli.commands.customers import create_customer

    execute(create_customer(data, customer_id, {"name": name} | fields, as_json=as_json))


@customers.command("update")
@taking(_fields)
def customers_update(
    data: Data, customer_id: Id, name: Name = None, *, fields: dict[str, object], as_json: Json = False
) -> None:
    """Change what is given of a customer."""
    from cli.commands.customers import update_customer

    named: dict[str, object] = {} if name is None else {"name": name}
    execute(update_customer(data, customer_id, named | fields, as_json=as_json))


@customers.command("erase")
def customers_erase(
    data: Data,
    customer_id: Id,
    documents: Annotated[
        bool, typer.Option("--documents", help="And his documents, which the law may make you keep.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase a customer's personal data. The books stay, and documents unless they are named. It can't be undone."""
    from cli.commands.customers import erase_customer

    if not yes:
        typer.confirm(f"Erase the personal data of customer {customer_id} for good?", abort=True)
    execute(erase_customer(data, customer_id, documents=documents, as_json=as_json))
