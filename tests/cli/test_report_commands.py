"""`weir report` as processes of their own against a running deployment."""

import asyncio
import csv
import json
import os
import sys
from pathlib import Path

from cli.stack.endpoint import SERVICES, Endpoint, write_endpoint
from libs.embedded.valkey import Valkey
from tests.conftest import Database, Keys
from tests.invoicing.world import deployed


async def weir(data: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", "report", *arguments, "--data", str(data),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_reports_are_tables_charts_csv_and_json(
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
        year = ("revenue", "2023-01-01", "2023-12-31")
        shown, as_csv, as_json, owed, owed_csv, both, nothing, mrr = await asyncio.gather(
            weir(tmp_path, *year),
            weir(tmp_path, *year, "--csv"),
            weir(tmp_path, *year, "--json"),
            weir(tmp_path, "ageing"),
            weir(tmp_path, "ageing", "2023-12-01", "--csv"),
            weir(tmp_path, *year, "--csv", "--json"),
            weir(tmp_path, "ageing", "2023-01-01"),
            weir(tmp_path, "mrr", "2023-11-01", "2023-12-31", "--csv"),
        )

    lines = shown[1].splitlines()
    assert lines[1].split() == ["2023-11", "31.00", "USD", "0.00", "USD", "0.00", "USD", "0.00", "USD", "31.00", "USD"]
    assert lines[4] == "net, USD"
    assert lines[5].split() == ["2023-11", "31.00", "USD", "█" * 40]
    assert list(csv.DictReader(as_csv[1].splitlines())) == [
        {"month": month, "currency": "USD", "gross": "31.00", "discounts": "0.00", "credited": "0.00"}
        | {"voided": "0.00", "net": "31.00"}
        for month in ("2023-11", "2023-12")
    ]
    assert [each["net"]["minor_units"] for each in json.loads(as_json[1])["months"]] == ["3100", "3100"]
    assert "owed at the end of 2023-12-05" in owed[1]
    assert any(line.split()[:3] == ["globex", "0.00", "USD"] for line in owed[1].splitlines())
    assert any(line.split()[:4] == ["31-60", "days", "31.00", "USD"] for line in owed[1].splitlines())
    total, globex = csv.DictReader(owed_csv[1].splitlines())
    assert (total["not_due"], total["days_1_to_30"], total["total"]) == ("31.00", "31.00", "62.00")
    assert (total["customer_id"], globex["customer_id"], globex["overdue"]) == ("", "globex", "31.00")
    assert mrr[1].splitlines() == [
        "month,currency,mrr,new,reactivation,expansion,contraction,churn",
        "2023-11,USD,31.00,31.00,0.00,0.00,0.00,0.00",
        "2023-12,USD,31.00,0.00,0.00,0.00,0.00,0.00",
    ]
    assert both[0] == 2
    assert both[2] == "weir: --csv and --json: only one of them\n"
    assert nothing[1].splitlines()[1] == "Nobody owes anything."
