"""`weir ledger` as processes of their own against a running deployment, and mappings to charts of accounts."""

import asyncio
import csv
import os
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from cli.chart_of_accounts import ACCOUNTS, FIELDS, read_chart
from cli.errors import CliError
from cli.stack.endpoint import SERVICES, Endpoint, write_endpoint
from libs.embedded.valkey import Valkey
from tests.conftest import Database, Keys
from tests.invoicing.world import deployed
from weir.invoicing.v1.ledger_pb2 import LedgerAccount

EXAMPLE = Path(__file__).parents[2] / "examples" / "ledger" / "skr03.yaml"


async def weir(data: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", "ledger", *arguments, "--data", str(data),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_books_are_shown_exported_and_closed(
    database: Database, keys: Keys, valkey: Valkey, tmp_path: Path
) -> None:
    async with deployed(database, keys, valkey.url) as world:
        targets = dict.fromkeys(SERVICES, f"127.0.0.1:{world.invoicing_port}")
        write_endpoint(tmp_path, Endpoint("acme", keys.api_key("acme"), targets))
        acme = world.tenant("acme")
        await acme.start_clock("2023-11-01")
        await acme.plan("basic", base_fee=3100, in_advance=True)
        await acme.customer("globex")
        await acme.subscribe("s", "globex", "basic", "2023-11-01")
        await world.bill()
        await acme.advance("2023-12-05")
        await world.bill()
        async with world.worker() as worker:
            while await worker.prove():
                pass

        balances, statement, journal, mapped, proofs, refused, closed = await asyncio.gather(
            weir(tmp_path, "balances", "2023-11-15"),
            weir(tmp_path, "statement", "revenue", "2023-11-01", "2023-12-05", "--currency", "USD"),
            weir(tmp_path, "journal", "2023-11"),
            weir(tmp_path, "journal", "2023-11", "--mapping", str(EXAMPLE), "-o", str(tmp_path / "november.csv")),
            weir(tmp_path, "proofs"),
            weir(tmp_path, "close", "2023-12-31", "--yes"),
            weir(tmp_path, "close", "2023-11-30", "--yes"),
        )
        assert (await weir(tmp_path, "closings"))[1].split()[-4:-1] == ["at", "default", "2023-11-30"]

    assert [line.split() for line in balances[1].splitlines()[1:]] == [
        ["default", "receivable", "31.00", "USD"],
        ["default", "deferred_revenue", "15.50", "USD"],
        ["default", "revenue", "15.50", "USD"],
    ]
    assert "earned/2023-11" in statement[1]
    assert statement[1].splitlines()[-1].split() == ["balance", "after", "-36.00", "USD"]
    rows = list(csv.DictReader(journal[1].splitlines()))
    assert {each["account"] for each in rows} == {"1200", "2400", "4000"}
    assert sum(Decimal(each["debit"] or 0) - Decimal(each["credit"] or 0) for each in rows) == 0
    assert (mapped[0], mapped[1]) == (0, "")
    lines = (tmp_path / "november.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(";")[:3] == ["Belegdatum", "Belegnummer", "Konto"]
    assert lines[1].startswith("01.11.2023;INV-202311-000001;1400;")
    assert ";31,00;" in lines[1]
    assert proofs[0] == 0
    assert "LEDGER_PERIOD_NOT_OVER" in refused[2]
    assert closed[:2] == (0, "The books of default are closed up to 2023-11-30.\n")


def test_every_account_has_a_place_in_the_chart() -> None:
    names = {each.removeprefix("LEDGER_ACCOUNT_").lower() for each in LedgerAccount.keys()[1:]}
    assert set(ACCOUNTS) == names
    assert set(read_chart(EXAMPLE).accounts) == names
    assert set(read_chart(None).columns.values()) < FIELDS


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("accounts: {sales: {code: '1', name: x}}", "there is no account sales"),
        ("accounts: {revenue: {code: '1'}}", "account revenue has a code and a name"),
        ("accounts: {revenue: {code: 8400, name: x}}", "8400, and not a text: put it in quotes"),
        ("columns: {Date: day}", "column Date is day; it may be account,"),
        ("columns: []", "columns are fields by their headings"),
        ("separator: ','", "a mapping has accounts,"),
        ("delimiter: ';;'", "delimiter is one character"),
        ("a: [", "a.yaml: "),
    ],
)
def test_a_mapping_that_is_wrong_is_refused_with_what_is_wrong(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(CliError, match=str(path)) as raised:
        read_chart(path)
    assert wrong in str(raised.value)
