"""`weir export` of rows, as processes of their own against a running deployment."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from pyarrow import parquet

from cli.stack.endpoint import SERVICES, Endpoint, write_endpoint
from libs.embedded.valkey import Valkey
from services.invoicing import export_servicer
from tests.conftest import Database, Keys
from tests.invoicing.world import World, deployed
from weir.invoicing.v1.exports_pb2 import DATASET_INVOICE_LINES, EXPORT_FORMAT_CSV, ExportRowsRequest


@pytest.fixture
async def world(database: Database, keys: Keys, valkey: Valkey, tmp_path: Path) -> AsyncIterator[World]:
    async with deployed(database, keys, valkey.url) as world:
        acme = world.tenant("acme")
        await acme.start_clock("2024-01-01")
        await acme.plan("basic", base_fee=3100)
        for number in range(4):
            await acme.customer(f"c{number}")
            await acme.subscribe(f"s{number}", f"c{number}", "basic", "2024-01-01")
        await acme.advance("2024-03-01")
        await world.bill()
        targets = dict.fromkeys(SERVICES, f"127.0.0.1:{world.invoicing_port}")
        write_endpoint(tmp_path, Endpoint("acme", keys.api_key("acme"), targets))
        yield world


async def _export(data: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", "export", *arguments, "--data", str(data),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_an_export_that_was_cut_off_goes_on_and_every_format_has_the_same_rows(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_servicer, "CHUNK_ROWS", 3)
    whole, resumed, table, objects = (tmp_path / name for name in ("a.csv", "b.csv", "a.parquet", "a.jsonl"))
    code, out, err = await _export(tmp_path, "lines", "--file", str(whole))
    assert (code, err) == (0, "")
    assert out.startswith(f"Wrote 8 rows to {whole} in ")
    assert [each.name for each in tmp_path.glob("a.csv*")] == ["a.csv"]
    lines = whole.read_bytes().splitlines(keepends=True)
    assert len(lines) == 9
    request = ExportRowsRequest(dataset=DATASET_INVOICE_LINES, format=EXPORT_FORMAT_CSV)
    tokens = [each.resume_token async for each in world.tenant("acme").exports.ExportRows(request) if each.rows]
    (tmp_path / "b.csv.part").write_bytes(b"".join(lines[:4]) + b"half a r")
    notes = {"question": "invoice_lines csv  ", "size": sum(map(len, lines[:4])), "rows": 3, "resume_token": tokens[0]}
    (tmp_path / "b.csv.progress").write_text(json.dumps(notes))
    code, _, err = await _export(tmp_path, "lines", "--file", str(resumed), "--resume", "--from", "2024-02-01")
    assert (code, "is of another export" in err) == (2, True)
    assert (await _export(tmp_path, "lines", "--file", str(resumed), "--resume"))[0] == 0
    assert resumed.read_bytes() == whole.read_bytes()
    assert (await _export(tmp_path, "lines", "--file", str(table), "--format", "parquet"))[0] == 0
    assert (await _export(tmp_path, "lines", "--file", str(objects), "--format", "jsonl"))[0] == 0
    amounts = [each["amount"] for each in parquet.read_table(table).to_pylist()]
    assert amounts == [Decimal(json.loads(line)["amount"]) for line in objects.read_text().splitlines()]
    assert sum(amounts) == 248


async def test_what_is_wrong_with_an_export_is_told(world: World, tmp_path: Path) -> None:
    file = str(tmp_path / "a.csv")
    assert (await _export(tmp_path, "invoices", "--file", file, "--from", "May"))[2] == (
        "weir: --from: 'May' is not a day such as 2026-01-31\n"
    )
    code, _, err = await _export(tmp_path, "journal", "--file", file, "--resume")
    assert (code, err) == (1, f"weir: there is no {file}.progress: nothing was cut off that could go on\n")
