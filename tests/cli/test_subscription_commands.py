"""`weir subscriptions` as processes of their own against a running deployment."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.stack.endpoint import SERVICES, Endpoint, write_endpoint
from libs.common.rpc.client import channel
from libs.embedded.valkey import Valkey
from tests.conftest import Database, Keys
from tests.invoicing.test_finalized import report
from tests.invoicing.world import World, deployed, new_request_id
from weir.invoicing.v1 import credit_notes_pb2
from weir.invoicing.v1.invoicing_pb2 import Invoice
from weir.pricing.v1.experiments_pb2 import CreateExperimentRequest, Experiment, ExperimentSegment
from weir.pricing.v1.experiments_pb2_grpc import ExperimentServiceStub
from weir.pricing.v1.pricing_pb2 import CreatePlanVersionRequest, PlanVersion


@dataclass(frozen=True, slots=True)
class Weir:
    """Commands that find a deployment with the subscription "s" to "basic" of 31.00 a month; "pro" costs 310.00."""

    data: Path
    world: World

    async def __call__(self, *arguments: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli.main", "subscriptions", *arguments, "--data", str(self.data),
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
        await acme.start_clock("2024-01-01")
        await acme.plan("basic", base_fee=3100)
        await acme.plan("pro", base_fee=31000)
        await acme.customer("globex")
        await acme.subscribe("s", "globex", "basic", "2024-01-01")
        await acme.advance("2024-01-12")
        targets = dict.fromkeys(SERVICES, f"127.0.0.1:{world.invoicing_port}")
        targets["pricing"] = world.settings.pricing_target
        write_endpoint(tmp_path, Endpoint("acme", keys.api_key("acme"), targets))
        yield Weir(tmp_path, world)


async def test_an_experiment_assigns_a_new_subscription_its_version(weir: Weir) -> None:
    acme = weir.world.tenant("acme")
    version = PlanVersion(currency_code="USD", billing_interval=PlanVersion.BILLING_INTERVAL_MONTHLY)
    request = CreatePlanVersionRequest(request_id=new_request_id(), plan_code="basic", base_version=1, version=version)
    await acme.pricing.CreatePlanVersion(request)
    made = Experiment(code="spring", name="Spring", segments=[ExperimentSegment(segment="startup", arm_code="new")])
    made.arms.add(code="old", plan_code="basic", version=1, weight=1)
    made.arms.add(code="new", plan_code="basic", version=2)
    async with channel(weir.world.settings.pricing_target, weir.world.keys.api_key("acme")) as opened:
        create = CreateExperimentRequest(request_id=new_request_id(), experiment=made)
        await ExperimentServiceStub(opened).CreateExperiment(create)
    words = ("--customer", "globex", "--start", "2024-01-12")
    for name, more, expected in (
        ("a", ("--experiment", "spring"), 1),
        ("b", ("--experiment", "spring", "--segment", "startup"), 2),
        ("c", ("--plan", "basic@1"), 1),
        ("d", ("--plan", "basic"), 2),
    ):
        assert (await weir.json("create", name, *words, *more))["subscription"]["plan_version"] == expected
    for wrong in ((), ("--plan", "basic", "--experiment", "spring"), ("--plan", "basic", "--segment", "startup")):
        code, out, err = await weir("create", "e", *words, *wrong)
        assert (code, out, err.count("\n")) == (2, "", 1)


async def test_a_change_is_previewed_made_and_shown(weir: Weir) -> None:
    foreseen = await weir.json("change", "s", "--plan", "pro", "--preview")
    [invoice] = foreseen["invoices"]
    assert (invoice["plan_code"], invoice["total"]["minor_units"]) == ("basic", "1100")
    code, out, _ = await weir("change", "s", "--plan", "pro", "--preview")
    assert code == 0
    assert "11 of 31 days" in out
    assert len((await weir.json("show", "s"))["subscription"]["phases"]) == 1
    assert (await weir("change", "s", "--plan", "pro"))[1] == (
        "Subscription s has pro v1 from 2024-01-12T00:00:00Z on.\n"
    )
    code, out, _ = await weir("show", "s")
    assert code == 0
    assert "basic v1" in out
    assert "pro v1" in out


async def test_a_scheduled_change_is_cancelled(weir: Weir) -> None:
    made = await weir.json(
        "change", "s", "--plan", "pro", "--when", "period-end", "--proration", "full", "--version", "1"
    )
    assert made["subscription"]["phases"][1]["start_time"] == "2024-02-01T00:00:00Z"
    later = await weir.json("change", "s", "--plan", "pro", "--when", "2024-03-05", "--proration", "none", "--keep-fee")
    assert later["subscription"]["phases"][1]["start_time"] == "2024-03-05T00:00:00Z"
    assert (await weir("cancel-change", "s"))[:2] == (0, "Subscription s stays with basic v1.\n")
    code, _, err = await weir("cancel-change", "s")
    assert (code, "CHANGE_NOT_SCHEDULED" in err) == (1, True)


async def test_a_subscription_waits_for_its_payment_or_offsets_what_is_not_used(weir: Weir) -> None:
    await weir.world.tenant("acme").plan("ahead", base_fee=3100, in_advance=True)
    waiting = ("create", "w", "--customer", "globex", "--start", "2024-01-12", "--payment-timeout", "60")
    made = (await weir.json(*waiting, "--plan", "ahead"))["subscription"]
    assert (made["state"], made["activation"]["expire_time"]) == ("STATE_INCOMPLETE", "2024-01-12T00:01:00Z")
    code, _, err = await weir(*waiting, "--plan", "basic")
    assert (code, "ACTIVATION_WITHOUT_INVOICE" in err) == (1, True)
    assert (await weir("terminate", "s", "--offset-fee", "--keep-fee"))[0] == 2
    foreseen = await weir.json("terminate", "s", "--preview")
    assert [each["total"]["minor_units"] for each in foreseen["invoices"]] == ["1100"]
    code, out, _ = await weir("pause", "s", "--preview")
    assert (code, "11 of 31 days" in out) == (0, True)
    assert (await weir.json("show", "s"))["subscription"].get("end_time") is None
    assert (await weir("pause", "s", "--refund-fee"))[0] == 0
    assert (await weir("terminate", "s", "--offset-fee"))[0] == 0


async def test_what_is_paid_of_unused_days_is_refunded_at_a_change_or_an_end(weir: Weir) -> None:
    """31 days of January at 3100, 20 of which are left on the 12th, whose price is 2000; all of it is paid."""
    acme = weir.world.tenant("acme")
    await acme.plan("ahead", base_fee=3100, in_advance=True)
    for name in ("changed", "ended"):
        await acme.subscribe(name, "globex", "ahead", "2024-01-01")
    await weir.world.bill()
    payments = weir.world.tenant("acme", "internal").invoicing
    for each in await acme.invoices():
        await payments.RecordPayment(report(each.id, 1, Invoice.PAYMENT_STATUS_SUCCEEDED, each.total.minor_units))
    assert (await weir("change", "changed", "--plan", "pro", "--refund-fee"))[0] == 0
    assert (await weir("terminate", "ended", "--refund-fee"))[0] == 0
    await weir.world.bill()
    notes = (await acme.credit_notes.ListCreditNotes(credit_notes_pb2.ListCreditNotesRequest())).credit_notes
    kind = credit_notes_pb2.CreditNote.KIND_REFUND
    assert sorted((each.kind, each.total.minor_units) for each in notes) == [(kind, 2000)] * 2


@pytest.mark.parametrize("arguments", [("--when", "someday"), ("--proration", "half")])
async def test_what_is_typed_wrongly_is_named(tmp_path: Path, arguments: tuple[str, str]) -> None:
    code, _, err = await Weir(tmp_path, None)("change", "s", "--plan", "pro", *arguments)  # type: ignore[arg-type]
    assert code == 2
    assert arguments[0] in err
