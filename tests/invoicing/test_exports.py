"""Exported rows say what the API says, whatever they are cut into."""

import csv
import io
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from libs.common.errors import InvalidArgument
from libs.common.rpc.client import typed_errors
from libs.embedded.valkey import Valkey
from services.invoicing import export_servicer
from tests.conftest import Database, Keys
from tests.invoicing.world import Tenant, World, deployed, new_request_id
from weir.invoicing.v1.exports_pb2 import (
    DATASET_CREDIT_NOTES,
    DATASET_INVOICE_LINES,
    DATASET_INVOICES,
    DATASET_JOURNAL,
    EXPORT_FORMAT_CSV,
    EXPORT_FORMAT_JSON_LINES,
    ExportRowsRequest,
)
from weir.invoicing.v1.one_offs_pb2 import CreateOneOffInvoiceRequest, OneOffItem

NAME = 'Line one\nline "two", \\ three \u2028 é'


@pytest.fixture
async def world(database: Database, keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    async with deployed(database, keys, valkey.url) as world:
        yield world


async def _billed(world: World, tenant_id: str) -> Tenant:
    tenant = world.tenant(tenant_id)
    await tenant.start_clock("2024-01-01")
    await tenant.plan("basic", base_fee=3100)
    for number in range(3):
        await tenant.customer(f"c{number}")
        await tenant.subscribe(f"s{number}", f"c{number}", "basic", "2024-01-01")
    await tenant.advance("2024-04-01")
    await world.bill()
    return tenant


async def _exported(tenant: Tenant, **fields: Any) -> tuple[list[str], bytes, list[str]]:
    """Columns, rows, and the resume tokens."""
    columns, rows, tokens = [], b"", []
    with typed_errors():
        async for answer in tenant.exports.ExportRows(ExportRowsRequest(**fields)):
            columns += [each.name for each in answer.columns]
            rows += answer.rows
            tokens += [answer.resume_token] if answer.resume_token else []
    return columns, rows, tokens


async def test_lines_are_those_of_the_invoices_and_of_no_other_tenant(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_servicer, "CHUNK_ROWS", 4)
    monkeypatch.setattr(export_servicer, "PIECE_BYTES", 100)
    tenant = await _billed(world, "acme")
    await _billed(world, "other")
    columns, rows, tokens = await _exported(tenant, dataset=DATASET_INVOICE_LINES, format=EXPORT_FORMAT_CSV)
    found = [dict(zip(columns, row, strict=True)) for row in csv.reader(io.StringIO(rows.decode()))]
    invoices = await tenant.invoices()
    assert sorted((each["invoice_number"], each["code"], Decimal(each["amount"])) for each in found) == sorted(
        (invoice.number, line.code, Decimal(line.amount.minor_units) / 100)
        for invoice in invoices
        for line in invoice.lines
    )
    assert len(found) == 9
    assert len(tokens) == 3
    _, rest, _ = await _exported(
        tenant, dataset=DATASET_INVOICE_LINES, format=EXPORT_FORMAT_CSV, resume_token=tokens[0]
    )
    assert rows.endswith(rest)
    assert len(rest.splitlines()) == 5


async def test_json_lines_say_the_same_and_odd_texts_come_through(world: World) -> None:
    tenant = world.tenant("acme")
    await tenant.start_clock("2024-01-01")
    await tenant.customer("globex")
    item = OneOffItem(description=NAME, units="3", unit_amount="0.125")
    request = CreateOneOffInvoiceRequest(request_id=new_request_id(), customer_id="globex", currency_code="EUR")
    request.items.append(item)
    await tenant.one_offs.CreateOneOffInvoice(request)
    _, rows, _ = await _exported(tenant, dataset=DATASET_INVOICE_LINES, format=EXPORT_FORMAT_JSON_LINES)
    as_json = [json.loads(line) for line in rows.decode().split("\n")[:-1]]
    columns, rows, _ = await _exported(tenant, dataset=DATASET_INVOICE_LINES, format=EXPORT_FORMAT_CSV)
    as_csv = [dict(zip(columns, row, strict=True)) for row in csv.reader(io.StringIO(rows.decode(), newline=""))]
    assert {each["description"] for each in as_json} == {each["description"] for each in as_csv} == {NAME}
    assert [{key: "" if value is None else str(value) for key, value in each.items()} for each in as_json] == as_csv


@pytest.mark.parametrize(("dataset", "count"), [(DATASET_INVOICES, 3), (DATASET_CREDIT_NOTES, 0), (DATASET_JOURNAL, 6)])
async def test_days_are_half_open(world: World, dataset: int, count: int) -> None:
    tenant = await _billed(world, "acme")
    days = {"start_date": {"year": 2024, "month": 2, "day": 1}, "end_date": {"year": 2024, "month": 3, "day": 1}}
    columns, rows, _ = await _exported(tenant, dataset=dataset, format=EXPORT_FORMAT_CSV, **days)
    assert len(rows.splitlines()) == count
    assert len(columns) > 8


async def test_debits_and_credits_of_the_journal_are_equal(world: World) -> None:
    tenant = await _billed(world, "acme")
    _, rows, _ = await _exported(tenant, dataset=DATASET_JOURNAL, format=EXPORT_FORMAT_JSON_LINES)
    legs = [json.loads(line) for line in rows.splitlines()]
    assert sum(Decimal(each["debit"]) - Decimal(each["credit"]) for each in legs) == 0
    assert sum(Decimal(each["debit"]) for each in legs if each["account"] == "receivable") == 279


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"format": EXPORT_FORMAT_CSV}, "dataset", "FIELD_MISSING"),
        ({"dataset": DATASET_INVOICES}, "format", "FIELD_MISSING"),
        ({"resume_token": "no"}, "resume_token", "PAGE_TOKEN_INVALID"),
        ({"resume_token": "WyJhIiwgImIiXQ"}, "resume_token", "PAGE_TOKEN_INVALID"),
        ({"start_date": {"year": 2024, "month": 2, "day": 30}}, "start_date", "DATE_MALFORMED"),
    ],
)
async def test_what_is_wrong_with_a_question_is_told(
    world: World, fields: dict[str, Any], field: str, reason: str
) -> None:
    asked = fields if len(fields) == 1 and field in ("dataset", "format") else {
        "dataset": DATASET_INVOICES, "format": EXPORT_FORMAT_CSV, **fields
    }  # fmt: skip
    with pytest.raises(InvalidArgument) as refused:
        await _exported(world.tenant("acme"), **asked)
    assert (refused.value.field, refused.value.reason) == (field, reason)


async def test_positions_are_numbers_and_not_texts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_servicer, "CHUNK_ROWS", 11)
    tenant = world.tenant("acme")
    await tenant.start_clock("2024-01-01")
    await tenant.customer("globex")
    request = CreateOneOffInvoiceRequest(request_id=new_request_id(), customer_id="globex", currency_code="EUR")
    request.items.extend(OneOffItem(description=str(number), units="1", unit_amount="1") for number in range(1, 26))
    await tenant.one_offs.CreateOneOffInvoice(request)
    _, rows, tokens = await _exported(tenant, dataset=DATASET_INVOICE_LINES, format=EXPORT_FORMAT_JSON_LINES)
    assert [json.loads(line)["line_number"] for line in rows.splitlines()] == list(range(1, 26))
    assert len(tokens) == 3
