"""`weir legal-entities`, and what of documents is written by `weir`, as processes."""

import asyncio
import json
import os
import sys
from pathlib import Path

from cli.stack.endpoint import SERVICES, Endpoint, write_endpoint
from libs.embedded.valkey import Valkey
from tests.conftest import Database, Keys
from tests.invoicing.world import deployed


async def test_documents_are_written_by_the_legal_entity_that_was_made(
    database: Database, keys: Keys, valkey: Valkey, tmp_path: Path
) -> None:
    async def weir(*arguments: str) -> tuple[int | None, bytes, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli.main", *arguments, "--data", str(tmp_path),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        out, err = await process.communicate()
        return process.returncode, out, err.decode()

    async with deployed(database, keys, valkey.url) as world:
        targets = dict.fromkeys(SERVICES, f"127.0.0.1:{world.invoicing_port}")
        write_endpoint(tmp_path, Endpoint("acme", keys.api_key("acme"), targets))
        acme = world.tenant("acme")
        await acme.start_clock("2023-11-01")
        await acme.plan("basic", currency="EUR")
        await acme.customer("globex", locale="fr-FR", address={"country_code": "FR", "city": "Paris"})
        await acme.subscribe("globex-1", "globex", "basic", "2023-11-01")
        await acme.advance("2023-12-01")
        await world.bill()
        [invoice] = await acme.invoices()

        logo = tmp_path / "logo.svg"
        logo.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4" cy="4" r="4"/></svg>')
        made = await weir(
            "legal-entities", "create", "wehr", "--name", "Wehr GmbH", "--address", "city=Berlin", "--address",
            "country_code=DE", "--tax-id", "eu_vat=DE123456788", "--bank", "iban=DE89370400440532013000",
            "--logo", str(logo),
        )  # fmt: skip
        assert made == (0, b"Made legal entity wehr, version 1.\n", "")
        code, out, _ = await weir("legal-entities", "update", "wehr", "--accent-color", "#aa3300", "--json")
        branding = json.loads(out)["legal_entity"]["branding"]
        assert (code, branding["accent_color"], bool(branding["logo"])) == (0, "#aa3300", True)

        path = tmp_path / "invoice.pdf"
        code, out, _ = await weir("invoices", "pdf", invoice.number, "--output", str(path))
        assert (code, path.read_bytes()[:8]) == (0, b"%PDF-1.7")
        assert b"SHA-256" in out
        code, out, _ = await weir("invoices", "pdf", invoice.id, "--format", "ubl", "--output", "-")
        assert (code, b"<cbc:PayableAmount" in out) == (0, True)
        days = "--from", "2023-12-01", "--to", "2023-12-31"
        code, out, _ = await weir("customers", "statement", "globex", *days, "--output", "-")
        assert (code, out[:8]) == (0, b"%PDF-1.7")
        assert "INVOICE_NOT_PAID" in (await weir("invoices", "receipt", invoice.number))[2]
        assert (await weir("customers", "erase", "globex", "--documents", "--yes"))[0] == 0
