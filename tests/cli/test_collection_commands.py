"""`weir refunds` and `weir dunning` as processes of their own against running payments."""

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
from libs.embedded.valkey import Valkey
from tests.conftest import Database, Keys
from tests.payments.shop import Shop, deployed
from tests.sandbox.running import running_sandbox


@dataclass(frozen=True, slots=True)
class Weir:
    """Commands of a tenant who has collected 38.98 USD of inv_1."""

    data: Path
    shop: Shop

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
    with running_sandbox(tmp_path) as sandbox:
        async with deployed(database, keys, sandbox, valkey.url) as deployment:
            shop = await Shop(deployment).open()
            await shop.save()
            await shop.bill()
            await shop.sweeps.charge()
            targets = dict.fromkeys(SERVICES, f"127.0.0.1:{deployment.ports.rpc}")
            write_endpoint(tmp_path, Endpoint("acme", keys.api_key("acme"), targets))
            yield Weir(tmp_path, shop)


async def test_money_is_given_back_and_listed(weir: Weir) -> None:
    made = (await weir.json("refunds", "create", "inv_1", "12.50", "--reason", "it broke"))["refund"]
    assert made["amount"] == {"currency_code": "USD", "minor_units": "1250"}
    await weir.shop.sweeps.refunds()
    code, out, _ = await weir("refunds", "list", "--invoice", "inv_1")
    assert (code, "12.50 USD" in out, "succeeded" in out) == (0, True, True)
    for wrong in ("12.505", "much", "99"):
        code, _, err = await weir("refunds", "create", "inv_1", wrong, "--reason", "x")
        assert code != 0
        assert err.count("\n") == 1
    code, _, err = await weir("refunds", "retry", made["id"])
    assert (code, "REFUND_NOT_FAILED" in err) == (1, True)


async def test_dunning_is_set_and_previewed(weir: Weir) -> None:
    await weir.json("dunning", "set", "--final-day", "7", "--retry", "1", "--retry", "3", "--remind", "0")
    steps = (await weir.json("dunning", "preview", "--at", "2026-11-20"))["steps"]
    assert [(step["kind"], step["due_time"]) for step in steps] == [
        ("KIND_REMIND", "2026-11-20T00:00:00Z"),
        ("KIND_RETRY", "2026-11-21T09:00:00Z"),
        ("KIND_RETRY", "2026-11-23T09:00:00Z"),
        ("KIND_FINAL", "2026-11-27T09:00:00Z"),
    ]
    code, out, _ = await weir("dunning", "list")
    assert (code, out.strip()) == (0, "No campaigns yet.")


async def test_payments_are_routed_and_shown_with_the_reason(weir: Weir, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        """
rules:
  - code: euros
    condition: {currency_codes: [EUR]}
    targets: [{processor_account_id: stripe}]
  - code: cards
    method_kinds: [CARD]
    targets: [{processor_account_id: stripe, weight: 100}]
"""
    )
    first, again = [await weir.json("payments", "route", "set", str(rules)) for _ in range(2)]
    assert (first["policy_version"], again["policy_version"]) == (1, 1)
    code, out, _ = await weir("payments", "route", "show")
    assert (code, "cards" in out, "stripe:100" in out) == (0, True, True)
    code, out, _ = await weir("payments", "route", "preview", "ada", "12.50", "--currency", "USD")
    assert (code, "rule euros: currency is USD, not EUR" in out, "account stripe: chosen" in out) == (0, True, True)
    payment = await weir.shop.bill("inv_2")
    await weir.shop.sweeps.charge()
    code, out, _ = await weir("payments", "show", payment.id)
    assert (code, "1. rule cards: decides" in out, "38.98 USD of 38.98 USD paid" in out) == (0, True, True)
    rules.write_text("rules: [{code: x, target: []}]")
    code, _, err = await weir("payments", "route", "set", str(rules))
    assert (code, err.count("\n"), "rule 1" in err) == (1, 1, True)


async def test_endpoints_of_notices_are_added_and_listed(weir: Weir) -> None:
    made = await weir.json("notices", "add", "https://shop.example/hook", "--type", "dunning.exhausted")
    assert made["secret"].startswith("whsec_")
    endpoint = made["notice_endpoint"]["id"]
    code, out, _ = await weir("notices", "list")
    assert (code, "https://shop.example/hook" in out, "dunning.exhausted" in out) == (0, True, True)
    code, out, _ = await weir("notices", "deliveries", endpoint)
    assert (code, out.strip()) == (0, "Nothing was to be delivered yet.")
    assert (await weir.json("notices", "rotate", endpoint))["secret"] != made["secret"]
    code, _, err = await weir("notices", "retry", endpoint, "ntc_1")
    assert (code, "NOTICE_DELIVERY_NOT_FOUND" in err) == (1, True)
    assert (await weir("notices", "delete", endpoint))[0] == 0


async def test_a_customer_is_sent_to_a_page_to_pay(weir: Weir) -> None:
    await weir.shop.bill("inv_2", customer_id="bob")
    page = (await weir.json("payments", "page", "inv_2"))["payment_page"]
    assert page["url"].startswith("http")
    code, out, _ = await weir("payments", "close-page", page["id"])
    assert (code, "closed" in out) == (0, True)
    code, _, err = await weir("payments", "page", "inv_1")
    assert (code, "PAYMENT_NOT_PAYABLE" in err) == (1, True)
    made = (await weir.json("payments", "refund", "inv_1", "1.00", "--reason", "it broke"))["refund"]
    assert made["amount"]["minor_units"] == "100"
