from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Conflict, InvalidArgument, NotFound, PermissionDenied
from libs.common.money import Money
from services.pricing.convert.add_ons import add_on_in, add_on_out
from services.pricing.domain.add_ons import AddOn
from services.pricing.store.add_ons import ADD_ONS
from tests.pricing.conftest import Client, Dial
from tests.pricing.requests import create_tax
from tests.pricing.strategies import codes, instants, names
from weir.common.v1.money_pb2 import Money as MoneyMessage
from weir.pricing.v1 import addons_pb2
from weir.pricing.v1.addons_pb2_grpc import AddOnServiceStub

if TYPE_CHECKING:
    from weir.pricing.v1.addons_pb2_grpc import AddOnServiceAsyncStub

add_ons = st.builds(
    AddOn,
    code=codes,
    name=names,
    description=st.just("") | names,
    amount=st.builds(Money, st.integers(0, 2**63 - 1), st.sampled_from(["USD", "JPY", "KWD"])),
    tax_codes=st.lists(codes, max_size=3, unique=True).map(tuple),
    create_time=instants,
)


@given(add_ons)
def test_an_add_on_read_from_the_wire_or_the_database_is_the_one_written(add_on: AddOn) -> None:
    assert add_on_in(add_on_out(add_on), add_on.create_time) == add_on
    assert ADD_ONS.read(add_on.code, add_on.create_time, ADD_ONS.contents(add_on)) == add_on


@pytest.fixture
def service(dial: Dial) -> "AddOnServiceAsyncStub":
    return AddOnServiceStub(dial("acme"))


def create(code: str = "setup", *, tax_codes: tuple[str, ...] = ()) -> addons_pb2.CreateAddOnRequest:
    amount = MoneyMessage(currency_code="USD", minor_units=4900)
    add_on = addons_pb2.AddOn(code=code, name="Set-up", currency_code="USD", amount=amount, tax_codes=tax_codes)
    return addons_pb2.CreateAddOnRequest(request_id=str(uuid4()), add_on=add_on)


def update(*paths: str, **fields: object) -> addons_pb2.UpdateAddOnRequest:
    add_on = addons_pb2.AddOn(code="setup", **fields)  # type: ignore[arg-type]
    return addons_pb2.UpdateAddOnRequest(add_on=add_on, update_mask=FieldMask(paths=paths))


async def test_an_add_on_is_recorded_as_it_was_given(service: "AddOnServiceAsyncStub", pricing: Client) -> None:
    await pricing.CreateTax(create_tax("vat"))
    request = create(tax_codes=("vat",))
    first = await service.CreateAddOn(request)
    assert (first.add_on.amount.minor_units, first.add_on.tax_codes) == (4900, ["vat"])
    assert (await service.GetAddOn(addons_pb2.GetAddOnRequest(code="setup"))).add_on == first.add_on


async def test_a_repeated_request_is_answered_as_it_was_the_first_time(service: "AddOnServiceAsyncStub") -> None:
    request = create()
    first = await service.CreateAddOn(request)
    changed = (await service.UpdateAddOn(update("name", name="Installation"))).add_on
    assert (changed.name, changed.amount) == ("Installation", first.add_on.amount)
    assert await service.CreateAddOn(request) == first
    assert (await service.GetAddOn(addons_pb2.GetAddOnRequest(code="setup"))).add_on == changed


async def test_an_add_on_with_a_tax_that_is_not_there_is_neither_made_nor_changed(
    service: "AddOnServiceAsyncStub",
) -> None:
    with pytest.raises(NotFound) as refused:
        await service.CreateAddOn(create(tax_codes=("vat",)))
    assert refused.value.metadata == {"tax_code": "vat", "field": "add_on.tax_codes[0]"}
    made = (await service.CreateAddOn(create())).add_on
    with pytest.raises(NotFound):
        await service.UpdateAddOn(update("tax_codes", tax_codes=["vat"]))
    assert (await service.GetAddOn(addons_pb2.GetAddOnRequest(code="setup"))).add_on == made


async def test_a_negative_amount_and_a_currency_without_an_exponent_are_refused(
    service: "AddOnServiceAsyncStub",
) -> None:
    for amount, reason, field in (
        (MoneyMessage(currency_code="USD", minor_units=-1), "AMOUNT_NEGATIVE", "add_on.amount.minor_units"),
        (MoneyMessage(currency_code="EUR", minor_units=1), "CURRENCY_MISMATCH", "add_on.amount.currency_code"),
        (None, "FIELD_MISSING", "add_on.amount"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await service.UpdateAddOn(update("amount", currency_code="USD", amount=amount))
        assert (refused.value.reason, refused.value.field) == (reason, field)


async def test_the_currency_of_an_add_on_never_changes(service: "AddOnServiceAsyncStub") -> None:
    await service.CreateAddOn(create())
    euro = MoneyMessage(currency_code="EUR", minor_units=1)
    for currency, reason in (("EUR", "CURRENCY_MISMATCH"), ("XAU", "CURRENCY_UNKNOWN"), ("", "FIELD_MISSING")):
        with pytest.raises(InvalidArgument) as refused:
            await service.UpdateAddOn(update("amount", currency_code=currency, amount=euro))
        assert (refused.value.reason, refused.value.field) == (reason, "add_on.currency_code")


async def test_an_add_on_that_is_only_validated_is_not_made(service: "AddOnServiceAsyncStub") -> None:
    request = create(tax_codes=("vat",))
    request.validate_only = True
    assert (await service.CreateAddOn(request)).add_on.tax_codes == ["vat"]
    assert not (await service.ListAddOns(addons_pb2.ListAddOnsRequest())).add_ons


async def test_add_ons_are_listed_by_code_a_page_at_a_time_to_their_tenant_only(dial: Dial) -> None:
    acme, rival = AddOnServiceStub(dial("acme")), AddOnServiceStub(dial("rival"))
    for code in ("b", "c", "a"):
        await acme.CreateAddOn(create(code))
    first = await acme.ListAddOns(addons_pb2.ListAddOnsRequest(page_size=2))
    last = await acme.ListAddOns(addons_pb2.ListAddOnsRequest(page_size=2, page_token=first.next_page_token))
    assert [[each.code for each in page.add_ons] for page in (first, last)] == [["a", "b"], ["c"]]
    assert not (await rival.ListAddOns(addons_pb2.ListAddOnsRequest())).add_ons
    with pytest.raises(NotFound) as refused:
        await rival.GetAddOn(addons_pb2.GetAddOnRequest(code="a"))
    assert refused.value.reason == "ADD_ON_NOT_FOUND"


async def test_a_code_is_taken_once(service: "AddOnServiceAsyncStub") -> None:
    await service.CreateAddOn(create())
    with pytest.raises(Conflict) as refused:
        await service.CreateAddOn(create())
    assert refused.value.reason == "ADD_ON_EXISTS"


async def test_who_may_read_the_catalog_may_not_write_add_ons(dial: Dial) -> None:
    reader = AddOnServiceStub(dial("acme", "catalog:read"))
    assert not (await reader.ListAddOns(addons_pb2.ListAddOnsRequest())).add_ons
    for call in (reader.CreateAddOn(create()), reader.UpdateAddOn(update("name"))):
        with pytest.raises(PermissionDenied):
            await call
