import asyncio

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import Conflict, InvalidArgument, NotFound, PermissionDenied
from tests.pricing.conftest import NOW, Client, Connect
from tests.pricing.requests import create_tax
from weir.pricing.v1.pricing_pb2 import GetTaxRequest, ListTaxesRequest, Tax, UpdateTaxRequest


def update(code: str, *paths: str, name: str = "", rate_percent: str = "") -> UpdateTaxRequest:
    return UpdateTaxRequest(
        tax=Tax(code=code, name=name, rate_percent=rate_percent), update_mask=FieldMask(paths=paths)
    )


async def test_a_tax_is_recorded_as_it_was_given(pricing: Client) -> None:
    created = (await pricing.CreateTax(create_tax())).tax
    assert (created.code, created.name, created.rate_percent) == ("ny-sales", "Sales tax", "8.875")
    assert created.create_time.ToJsonString() == "2023-11-01T12:30:00.123456Z"
    assert (await pricing.GetTax(GetTaxRequest(code="ny-sales"))).tax == created


async def test_a_repeated_request_is_answered_as_it_was_the_first_time_even_after_a_change(pricing: Client) -> None:
    request = create_tax()
    first = await pricing.CreateTax(request)
    await pricing.UpdateTax(update("ny-sales", "rate_percent", rate_percent="9"))
    assert await pricing.CreateTax(request) == first


async def test_a_request_sent_by_many_at_once_makes_one_tax(pricing: Client) -> None:
    request = create_tax()
    answers = await asyncio.gather(*(pricing.CreateTax(request) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)


async def test_a_request_id_used_with_other_contents_is_refused(pricing: Client) -> None:
    request = create_tax()
    await pricing.CreateTax(request)
    request.tax.code = "other"
    with pytest.raises(Conflict) as refused:
        await pricing.CreateTax(request)
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_a_code_that_is_taken_is_refused(pricing: Client) -> None:
    await pricing.CreateTax(create_tax("vat"))
    with pytest.raises(Conflict) as refused:
        await pricing.CreateTax(create_tax("vat"))
    assert (refused.value.reason, refused.value.metadata) == ("TAX_EXISTS", {"tax_code": "vat"})


@pytest.mark.parametrize(("request_id", "reason"), [("", "FIELD_MISSING"), ("tax-1", "REQUEST_ID_MALFORMED")])
async def test_a_mutation_needs_a_request_id(pricing: Client, request_id: str, reason: str) -> None:
    request = create_tax()
    request.request_id = request_id
    with pytest.raises(InvalidArgument) as refused:
        await pricing.CreateTax(request)
    assert (refused.value.reason, refused.value.field) == (reason, "request_id")


async def test_only_the_fields_of_the_mask_change(pricing: Client) -> None:
    await pricing.CreateTax(create_tax("vat", "VAT", "19"))
    renamed = (await pricing.UpdateTax(update("vat", "name", name="Value added tax", rate_percent="1"))).tax
    assert (renamed.name, renamed.rate_percent) == ("Value added tax", "19")
    raised = (await pricing.UpdateTax(update("vat", "rate_percent", rate_percent="20.500"))).tax
    assert (raised.name, raised.rate_percent) == ("Value added tax", "20.5")
    assert (await pricing.GetTax(GetTaxRequest(code="vat"))).tax == raised
    assert raised.create_time.ToDatetime(NOW.tzinfo) == NOW


async def test_a_tax_that_is_not_there_can_be_neither_read_nor_changed(pricing: Client) -> None:
    for call in (
        pricing.GetTax(GetTaxRequest(code="vat")),
        pricing.UpdateTax(update("vat", "name", name="VAT")),
    ):
        with pytest.raises(NotFound) as refused:
            await call
        assert (refused.value.reason, refused.value.metadata["tax_code"]) == ("TAX_NOT_FOUND", "vat")


async def test_taxes_are_listed_by_code_a_page_at_a_time(pricing: Client) -> None:
    for code in ("c", "a", "e", "b", "d"):
        await pricing.CreateTax(create_tax(code))
    pages: list[list[str]] = []
    token = ""
    while token or not pages:
        page = await pricing.ListTaxes(ListTaxesRequest(page_size=2, page_token=token))
        pages.append([tax.code for tax in page.taxes])
        token = page.next_page_token
    assert pages == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_tenant_sees_its_own_taxes_only(connect: Connect) -> None:
    acme, rival = connect("acme"), connect("rival")
    request = create_tax()
    await acme.CreateTax(request)
    with pytest.raises(NotFound):
        await rival.GetTax(GetTaxRequest(code="ny-sales"))
    with pytest.raises(NotFound):
        await rival.UpdateTax(update("ny-sales", "name", name="Ours"))
    assert not (await rival.ListTaxes(ListTaxesRequest())).taxes
    request.tax.name = "The same request_id, for another tenant"
    assert (await rival.CreateTax(request)).tax.name != (await acme.GetTax(GetTaxRequest(code="ny-sales"))).tax.name


async def test_who_may_read_the_catalog_may_not_write_it(connect: Connect) -> None:
    reader = connect("acme", "catalog:read", "billing:write")
    assert not (await reader.ListTaxes(ListTaxesRequest())).taxes
    for call in (reader.CreateTax(create_tax()), reader.UpdateTax(update("ny-sales", "name", name="Free"))):
        with pytest.raises(PermissionDenied) as refused:
            await call
        assert (refused.value.reason, refused.value.metadata) == ("SCOPE_MISSING", {"scope": "catalog:write"})
