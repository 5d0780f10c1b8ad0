"""What becomes of customers after they are made, through gRPC."""

import asyncio

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from tests.invoicing.world import Tenant, World, new_request_id
from weir.invoicing.v1 import customers_pb2, invoicing_pb2

FULL = invoicing_pb2.Customer(
    id="globex",
    name="Globex",
    email="billing@globex.example",
    time_zone="Europe/Zurich",
    currency_code="CHF",
    locale="de-CH",
    address=invoicing_pb2.Address(line1="Bahnhofstrasse 1", city="Zürich", postal_code="8001", country_code="CH"),
    tax_ids=[invoicing_pb2.TaxId(type="ch_vat", value="CHE-123.456.789 MWST")],
    net_payment_term_days=30,
    grace_period_days=3,
    zero_amount_invoices=invoicing_pb2.Customer.ZERO_AMOUNT_INVOICES_SKIP,
    metadata={"crm": "4711", "segment": ""},
)


async def made(acme: Tenant, customer: invoicing_pb2.Customer = FULL) -> invoicing_pb2.Customer:
    request = invoicing_pb2.CreateCustomerRequest(request_id=new_request_id(), customer=customer)
    return (await acme.invoicing.CreateCustomer(request)).customer


async def read(acme: Tenant, customer_id: str = "globex") -> invoicing_pb2.Customer:
    return (await acme.invoicing.GetCustomer(invoicing_pb2.GetCustomerRequest(id=customer_id))).customer


def update(*paths: str, **fields: object) -> customers_pb2.UpdateCustomerRequest:
    customer = invoicing_pb2.Customer(id="globex", **fields)  # type: ignore[arg-type]
    return customers_pb2.UpdateCustomerRequest(
        request_id=new_request_id(), customer=customer, update_mask=FieldMask(paths=paths)
    )


async def test_all_that_is_said_of_a_customer_is_kept(acme: Tenant) -> None:
    answer = await made(acme)
    assert answer == await read(acme)
    assert MessageToDict(answer) == MessageToDict(FULL) | {"createTime": MessageToDict(answer)["createTime"]}


async def test_a_wrong_field_is_named(acme: Tenant) -> None:
    vat = invoicing_pb2.TaxId(type="eu_vat", value="1")
    for fields, field, reason in (
        ({"currency_code": "XYZ"}, "customer.currency_code", "CURRENCY_UNKNOWN"),
        ({"locale": "German"}, "customer.locale", "LOCALE_MALFORMED"),
        ({"address": {"country_code": "ch"}}, "customer.address.country_code", "COUNTRY_MALFORMED"),
        ({"tax_ids": [vat, vat]}, "customer.tax_ids[1].type", "TAX_ID_REPEATED"),
        ({"tax_ids": [{"type": "eu_vat"}]}, "customer.tax_ids[0].value", "FIELD_MISSING"),
        ({"tax_ids": [vat] * 11}, "customer.tax_ids", "TOO_MANY_TAX_IDS"),
        ({"net_payment_term_days": -1}, "customer.net_payment_term_days", "DAYS_OUT_OF_RANGE"),
        ({"grace_period_days": 366}, "customer.grace_period_days", "DAYS_OUT_OF_RANGE"),
        ({"zero_amount_invoices": 9}, "customer.zero_amount_invoices", "ENUM_VALUE_UNKNOWN"),
        ({"metadata": {str(i): "" for i in range(51)}}, "customer.metadata", "TOO_MANY_METADATA_KEYS"),
        ({"metadata": {"x" * 256: ""}}, "customer.metadata", "FIELD_TOO_LONG"),
        ({"metadata": {"": "x"}}, "customer.metadata", "FIELD_MISSING"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await made(acme, invoicing_pb2.Customer(id="globex", name="Globex", **fields))  # type: ignore[arg-type]
        assert (refused.value.field, refused.value.reason) == (field, reason)


async def test_a_mask_changes_what_it_names_and_none_changes_all(acme: Tenant) -> None:
    before = await made(acme)
    await acme.customers.UpdateCustomer(update("email", "metadata", email="new@globex.example", name="ignored"))
    changed = await read(acme)
    assert (changed.email, dict(changed.metadata)) == ("new@globex.example", {})
    changed.email = before.email
    changed.metadata.update(before.metadata)
    assert changed == before
    await acme.customers.UpdateCustomer(update(name="Globex AG"))
    whole = await read(acme)
    assert (whole.name, whole.email, whole.time_zone, whole.grace_period_days) == ("Globex AG", "", "UTC", 0)


async def test_an_id_or_a_time_of_making_is_not_changed(acme: Tenant) -> None:
    await made(acme)
    for path in ("id", "create_time", "erase_time", "address.city"):
        with pytest.raises(InvalidArgument) as refused:
            await acme.customers.UpdateCustomer(update(path))
        assert refused.value.reason == "MASK_PATH_UNKNOWN"


async def test_a_repeated_change_is_made_once_and_other_contents_are_refused(acme: Tenant) -> None:
    await made(acme)
    request = update("email", email="a@b.example")
    await asyncio.gather(*(acme.customers.UpdateCustomer(request) for _ in range(4)))
    await acme.customers.UpdateCustomer(update("email", email="later@b.example"))
    assert (await acme.customers.UpdateCustomer(request)).customer.email == "later@b.example"
    request.customer.email = "c@d.example"
    with pytest.raises(Conflict) as refused:
        await acme.customers.UpdateCustomer(request)
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_erasure_leaves_no_personal_data_in_the_database_and_keeps_the_books(world: World, acme: Tenant) -> None:
    await made(acme)
    await acme.plan("basic")
    await acme.subscribe("globex-1", "globex", "basic", "2023-11-01")
    await world.bill()
    before = await acme.invoices()
    request = customers_pb2.EraseCustomerRequest(request_id=new_request_id(), id="globex")
    erased = (await acme.customers.EraseCustomer(request)).customer
    assert (await acme.customers.EraseCustomer(request)).customer == erased == await read(acme)
    assert (erased.name, erased.email, erased.tax_ids, erased.metadata) == ("erased", "", [], {})
    assert erased.HasField("erase_time")
    assert await acme.invoices() == before != []
    async with world.database() as conn:
        tables = await conn.fetch(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'invoicing'"
            " AND column_name = 'tenant_id'"
        )
        assert len(tables) > 10
        for row in tables:
            kept = await conn.fetchval(
                f"SELECT string_agg(t::text, '|') FROM {row['table_name']} t WHERE tenant_id = 'acme'"
            )
            assert not any(text in (kept or "") for text in ("Globex", "globex.example", "Bahnhof", "MWST", "4711"))
    with pytest.raises(FailedPrecondition) as refused:
        await acme.customers.UpdateCustomer(update("name", name="Globex"))
    assert refused.value.reason == "CUSTOMER_ERASED"


async def test_another_tenants_customer_is_not_there(world: World, acme: Tenant) -> None:
    await made(acme)
    other = world.tenant("initech")
    for call in (
        other.customers.UpdateCustomer(update("name", name="x")),
        other.customers.EraseCustomer(customers_pb2.EraseCustomerRequest(request_id=new_request_id(), id="globex")),
    ):
        with pytest.raises(NotFound):
            await call
