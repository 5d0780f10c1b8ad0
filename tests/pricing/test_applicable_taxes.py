"""Which taxes a line bears."""

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import InvalidArgument, NotFound
from services.pricing.domain.tax import applicable_taxes
from tests.pricing.conftest import Client, Dial
from tests.pricing.requests import create_plan, create_tax
from weir.common.v1.money_pb2 import Money
from weir.pricing.v1 import addons_pb2, pricing_pb2
from weir.pricing.v1.addons_pb2_grpc import AddOnServiceStub
from weir.pricing.v1.taxes_pb2 import BatchGetTaxesRequest, QueryApplicableTaxesRequest, TaxableLine
from weir.pricing.v1.taxes_pb2_grpc import TaxServiceStub

if TYPE_CHECKING:
    from weir.pricing.v1.taxes_pb2_grpc import TaxServiceAsyncStub

USD = Money(currency_code="USD", minor_units=100)


@given(st.lists(st.lists(st.sampled_from(["vat", "gst", "city"]), max_size=2), max_size=5))
def test_the_first_level_that_has_any_counts_and_no_other(levels: list[list[str]]) -> None:
    found = applicable_taxes(*levels)
    before = levels[: levels.index(list(found))] if found else levels
    assert not any(before)


@pytest.fixture
async def service(dial: Dial, pricing: Client) -> "TaxServiceAsyncStub":
    """A tax for each level, and a plan whose `requests`, seats and minimum have their own."""
    for code in ("told", "charge", "fixed", "minimum", "add-on", "plan", "customer"):
        await pricing.CreateTax(create_tax(code))
    default = create_tax("default")
    default.tax.tenant_default = True
    await pricing.CreateTax(default)
    add_on = addons_pb2.AddOn(code="seat", name="Seat", currency_code="USD", amount=USD, tax_codes=["add-on"])
    await AddOnServiceStub(dial("acme")).CreateAddOn(
        addons_pb2.CreateAddOnRequest(request_id=str(uuid4()), add_on=add_on)
    )
    request = create_plan()
    version = request.version
    version.tax_codes.append("plan")
    version.charges[0].tax_codes.append("charge")
    version.fixed_charges.add(
        code="seats",
        add_on_code="seat",
        units="1",
        standard=pricing_pb2.StandardPrice(unit_price="1"),
        tax_codes=["fixed"],
    )
    version.minimum_commitment.CopyFrom(pricing_pb2.MinimumCommitment(amount=USD, tax_codes=["minimum"]))
    await pricing.CreatePlan(request)
    request = create_plan("untaxed")
    await pricing.CreatePlan(request)
    return TaxServiceStub(dial("acme"))


async def taxes(
    service: "TaxServiceAsyncStub", *lines: TaxableLine, plan_code: str = "llm-api", customer: str = "customer"
) -> list[str]:
    request = QueryApplicableTaxesRequest(
        plan_code=plan_code, version=1, customer_tax_codes=[customer] if customer else [], lines=lines
    )
    return [",".join(line.tax_codes) for line in (await service.QueryApplicableTaxes(request)).lines]


async def test_a_line_bears_the_taxes_of_the_most_particular_level_that_has_any(
    service: "TaxServiceAsyncStub",
) -> None:
    lines = [
        TaxableLine(charge_code="requests", tax_codes=["told"]),
        TaxableLine(charge_code="requests"),
        TaxableLine(fixed_charge_code="seats"),
        TaxableLine(minimum_commitment=True),
        TaxableLine(charge_code="output_tokens"),
        TaxableLine(),
    ]
    assert await taxes(service, *lines) == ["told", "charge", "fixed", "minimum", "plan", "plan"]
    assert await taxes(service, TaxableLine(), plan_code="untaxed") == ["customer"]
    assert await taxes(service, TaxableLine(), plan_code="untaxed", customer="") == ["default"]


async def test_a_line_without_a_plan_bears_those_of_its_add_on(service: "TaxServiceAsyncStub") -> None:
    assert await taxes(service, TaxableLine(add_on_code="seat"), TaxableLine(), plan_code="", customer="") == [
        "add-on",
        "default",
    ]


async def test_a_default_can_be_given_up(service: "TaxServiceAsyncStub", pricing: Client) -> None:
    change = pricing_pb2.UpdateTaxRequest(
        tax=pricing_pb2.Tax(code="default"), update_mask=FieldMask(paths=["tenant_default"])
    )
    assert not (await pricing.UpdateTax(change)).tax.tenant_default
    assert await taxes(service, TaxableLine(), plan_code="", customer="") == [""]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (TaxableLine(charge_code="other"), "CHARGE_NOT_FOUND"),
        (TaxableLine(fixed_charge_code="requests"), "CHARGE_NOT_FOUND"),
        (TaxableLine(add_on_code="desk"), "ADD_ON_NOT_FOUND"),
        (TaxableLine(tax_codes=["tva"]), "TAX_NOT_FOUND"),
    ],
)
async def test_what_a_line_names_must_be_there(service: "TaxServiceAsyncStub", line: TaxableLine, reason: str) -> None:
    with pytest.raises(NotFound) as refused:
        await taxes(service, TaxableLine(), line)
    assert refused.value.reason == reason
    assert refused.value.metadata["field"].startswith("lines[1]")


async def test_no_lines_and_a_customer_with_a_tax_that_is_not_there_are_refused(
    service: "TaxServiceAsyncStub",
) -> None:
    with pytest.raises(InvalidArgument):
        await taxes(service)
    with pytest.raises(NotFound):
        await taxes(service, TaxableLine(), customer="tva")


async def test_all_codes_that_are_missing_are_named_at_once(service: "TaxServiceAsyncStub") -> None:
    with pytest.raises(NotFound, match="TAX_NOT_FOUND") as refused:
        await taxes(service, TaxableLine(tax_codes=["told", "tva"]), TaxableLine(add_on_code="desk"), customer="mwst")
    assert {each.field: each.reason for each in refused.value.violations} == {
        "customer_tax_codes[0]": "TAX_NOT_FOUND",
        "lines[0].tax_codes[1]": "TAX_NOT_FOUND",
        "lines[1].add_on_code": "ADD_ON_NOT_FOUND",
    }


async def test_taxes_are_read_in_the_order_asked_with_the_defaults(service: "TaxServiceAsyncStub", dial: Dial) -> None:
    found = await service.BatchGetTaxes(BatchGetTaxesRequest(codes=["plan", "charge", "plan"]))
    assert [tax.code for tax in found.taxes] == ["plan", "charge", "plan"]
    assert [tax.code for tax in found.default_taxes] == ["default"]
    assert found.taxes[0].rate_percent == "8.875"
    assert not (await TaxServiceStub(dial("rival")).BatchGetTaxes(BatchGetTaxesRequest())).default_taxes
    with pytest.raises(NotFound, match="TAX_NOT_FOUND") as refused:
        await service.BatchGetTaxes(BatchGetTaxesRequest(codes=["tva", "plan", "mwst"]))
    assert [each.field for each in refused.value.violations] == ["codes[0]", "codes[2]"]
    with pytest.raises(InvalidArgument, match="REQUESTS_TOO_MANY"):
        await service.BatchGetTaxes(BatchGetTaxesRequest(codes=["plan"] * 1001))
