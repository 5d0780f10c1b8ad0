"""`weir invoices create`, `adjust` and `reset`, and what `weir subscriptions` has of units, as processes."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.commands.one_offs import typed_items
from cli.errors import WrongUsage
from cli.stack.endpoint import SERVICES, Endpoint, write_endpoint
from libs.common.money import Money
from libs.common.wire import money_out
from libs.embedded.valkey import Valkey
from tests.conftest import Database, Keys
from tests.invoicing.test_kinds_of_charges import SUM, standard, use
from tests.invoicing.world import World, deployed, new_request_id
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import addons_pb2, pricing_pb2


@dataclass(frozen=True, slots=True)
class Weir:
    """Commands that find a deployment where globex has had "s" since 2024-01-01: a base fee of 20 USD and 2 seats at
    10 USD, both in advance, and events of "seats" that cost 3 USD each at once. Invoices are drafts for 5 days.
    """

    data: Path
    world: World

    async def __call__(self, *arguments: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli.main", *arguments, "--data", str(self.data),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    async def json(self, *arguments: str) -> Any:
        code, out, err = await self(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)


@pytest.fixture
async def weir(database: Database, keys: Keys, valkey: Valkey, tmp_path: Path) -> AsyncIterator[Weir]:
    async with deployed(database, keys, valkey.url) as world:
        acme = world.tenant("acme")
        add_on = addons_pb2.AddOn(code="seat", name="Seat", currency_code="USD", amount=money_out(Money(1000, "USD")))
        await acme.add_ons.CreateAddOn(addons_pb2.CreateAddOnRequest(request_id=new_request_id(), add_on=add_on))
        meter = metering_pb2.Meter(code="seats", aggregation=SUM, value_property="n")
        await acme.metering.CreateMeter(metering_pb2.CreateMeterRequest(request_id=new_request_id(), meter=meter))
        await acme.start_clock("2024-01-01")
        await acme.customer("globex", grace_period_days=5)
        seats = pricing_pb2.FixedCharge(
            code="seat", add_on_code="seat", units="2", in_advance=True, standard=standard("10")
        )
        calls = pricing_pb2.Charge(code="calls", name="Calls", meter_code="seats", in_advance=True)
        calls.standard.CopyFrom(standard("3"))
        await acme.plan("basic", calls, fixed_charges=[seats], in_advance=True)
        await acme.subscribe("s", "globex", "basic", "2024-01-01")
        await acme.advance("2024-01-02")
        await world.bill()
        targets = dict.fromkeys(SERVICES, f"127.0.0.1:{world.invoicing_port}")
        write_endpoint(tmp_path, Endpoint("acme", keys.api_key("acme"), targets))
        yield Weir(tmp_path, world)


async def test_a_void_credits_what_it_is_told_to(weir: Weir) -> None:
    bought = ("create", "globex", "--currency", "USD", "--item", "Work=2x1.25")
    made = (await weir.json("invoices", *bought))["invoice"]
    code, _, err = await weir("invoices", "void", made["number"], "--refund", "2.50")
    assert (code, "REFUND_EXCEEDS_PAID" in err) == (1, True)
    assert (await weir("invoices", "void", made["number"], "--credit", "2.505"))[0] == 1
    voided = await weir.json("invoices", "void", made["number"], "--credit", "2.50")
    assert voided["invoice"]["state"] == "STATE_VOIDED"
    [note] = (await weir.json("credit-notes", "list"))["credit_notes"]
    assert (note["invoice_id"], note["balance"]["minor_units"]) == (made["id"], "250")


async def test_items_are_billed_at_once(weir: Weir) -> None:
    bought = ("invoices", "create", "globex", "--add-on", "seat=3", "--item", "Work = hard=2x1.25")
    code, out, err = await weir(*bought)
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()[:4]] == [
        ["INV-202401-000001", "globex"],
        ["line", "quantity", "amount"],
        ["seat", "3", "Seat", "30.00", "USD"],
        ["item", "2", "Work", "=", "hard", "2.50", "USD"],
    ]
    assert " - " in (await weir("invoices", "list"))[1]
    made = (await weir.json(*bought, "--item", "Note=5"))["invoice"]
    assert [line["description"] for line in made["lines"]] == ["Seat", "Work = hard", "Note"]
    assert made["total"]["minor_units"] == "3750"


async def test_a_line_of_a_draft_is_adjusted_and_reset(weir: Weir) -> None:
    [draft] = (await weir.json("invoices", "list"))["invoices"]
    base, seats = (draft["id"], "base"), (draft["id"], "seat")
    made = await weir.json("invoices", "adjust", *base, "--units", "3", "--amount", "4", "--description", "Help")
    lines = {line["description"]: line for line in made["invoice"]["lines"]}
    assert {name: line["amount"]["minor_units"] for name, line in lines.items()} == {"Help": "1200", "Seat": "2000"}
    code, out, _ = await weir("invoices", "reset", draft["id"], str(lines["Help"]["number"]))
    assert (code, "40.00 USD" in out, "Help" in out) == (0, True, False)
    code, _, err = await weir("invoices", "adjust", *base)
    assert (code, "--units" in err) == (2, True)
    code, _, err = await weir("invoices", "adjust", *seats, "--units", "3")
    assert (code, "LINE_NOT_ADJUSTABLE" in err) == (1, True)
    finalized = (await weir.json("invoices", "finalize", draft["id"]))["invoice"]
    assert finalized["number"] == "INV-202401-000001"
    code, _, err = await weir("invoices", "reset", *base)
    assert (code, "INVOICE_NOT_DRAFT" in err) == (1, True)


async def test_units_are_changed_and_what_was_charged_in_advance_is_listed(weir: Weir) -> None:
    assert (await weir("subscriptions", "units", "s"))[:2] == (0, "All units are those of the plan.\n")
    changed = await weir.json("subscriptions", "set-units", "s", "seat", "5", "--next-period")
    assert [(each["units"], each["effective_time"]) for each in changed["units"]] == [("5", "2024-02-01T00:00:00Z")]
    code, out, _ = await weir("subscriptions", "units", "s")
    assert (code, "2024-02-01T00:00:00Z" in out) == (0, True)
    assert (await weir("subscriptions", "advance-fees", "s"))[1] == "Nothing was charged in advance.\n"
    await use(weir.world.tenant("acme"), "2024-01-02", "4")
    await weir.world.bill()
    code, out, _ = await weir("subscriptions", "advance-fees", "s")
    assert (code, "12.00 USD" in out, "inv_" in out) == (0, True, True)
    await use(weir.world.tenant("acme"), "2024-01-02", "2")
    await weir.world.bill()
    last = (await weir.json("subscriptions", "advance-fees", "s"))["advance_fees"][-1]
    listed = await weir.json("invoices", "list", "--customer", "globex", "--state", "finalized", "--payment", "pending")
    assert last["invoice_id"] in [each["id"] for each in listed["invoices"]]
    assert (await weir.json("invoices", "list", "--subscription", "s", "--state", "voided")) == {"invoices": []}
    code, _, err = await weir("subscriptions", "pay-fees", "s", last["number"])
    assert (code, "ADVANCE_FEE_NOT_FOUND" in err) == (1, True)
    shown = (await weir("invoices", "show", last["invoice_id"]))[1]
    assert ["calls", "2", "Calls", "6.00", "USD"] in [line.split() for line in shown.splitlines()]


@pytest.mark.parametrize("item", ["Work", "=3", "Work=x3", "Work=3x", "Work=-3"])
def test_an_item_that_is_typed_wrongly_is_named(item: str) -> None:
    with pytest.raises(WrongUsage, match="--item"):
        typed_items([], [item], [])


def test_an_invoice_needs_items() -> None:
    with pytest.raises(WrongUsage, match="--add-on"):
        typed_items([], [], [])
