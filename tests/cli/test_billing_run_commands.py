"""`weir billing run` as processes of their own against a running deployment."""

import asyncio
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
        sys.executable, "-m", "cli.main", "billing", "run", *arguments, "--data", str(data),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_run_is_foreseen_and_watched(database: Database, keys: Keys, valkey: Valkey, tmp_path: Path) -> None:
    async with deployed(database, keys, valkey.url) as world:
        targets = dict.fromkeys(SERVICES, f"127.0.0.1:{world.invoicing_port}")
        write_endpoint(tmp_path, Endpoint("acme", keys.api_key("acme"), targets))
        acme = world.tenant("acme")
        await acme.start_clock("2024-01-01")
        await acme.plan("basic", base_fee=3100)
        await acme.customer("globex")
        await acme.subscribe("s", "globex", "basic", "2024-01-01")

        code, out, err = await weir(tmp_path)
        assert (code, out) == (1, "")
        assert "no billing run yet" in err
        code, out, _ = await weir(tmp_path, "--dry-run", "--until", "2024-02-01")
        assert code == 0
        assert "globex" in out
        assert "1 invoices over 31.00 USD, of which 31.00 USD to pay, by 2024-02-01T00:00:00Z. Nothing was" in out
        code, out, _ = await weir(tmp_path, "--dry-run", "--json", "--until", "2024-03-01")
        assert [each["total"]["minor_units"] for each in json.loads(out)["totals"]] == ["6200"]
        assert (await weir(tmp_path, "--dry-run", "--watch"))[0] == 2

        run_id = await acme.advance("2024-02-01")
        (code, out, err), _ = await asyncio.gather(weir(tmp_path, "--watch"), world.bill())
        assert (code, err) == (0, "")
        assert out == f"Billing run {run_id}: completed, 1 invoices finalized, 0 due.\n"
