"""A stack on databases that are somebody else's: nothing is started for them."""

import os
from pathlib import Path

from cli.connection import connected
from cli.stack.stack import running
from libs.embedded.valkey import Valkey
from tests.conftest import Database
from weir.invoicing.v1.invoicing_pb2 import CreateCustomerRequest, Customer


async def test_databases_named_in_the_environment_are_used(database: Database, valkey: Valkey, tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    dsns = {f"WEIR_{service.upper()}_DSN": dsn for service, dsn in database.dsns.items()}
    environ = {**os.environ, **dsns, "WEIR_REDIS_URL": valkey.url}
    async with running(tmp_path, print, environ) as stack, connected(stack.endpoint) as services:
        assert not {"postgres", "valkey"} & stack.children.keys()
        request_id = "5c1d2c86-3c9f-4b53-9f58-0c6a2f7f2a11"
        customer = Customer(id="acme", name="Acme")
        made = await services.invoicing.CreateCustomer(CreateCustomerRequest(request_id=request_id, customer=customer))
        assert made.customer.id == "acme"
    assert not (tmp_path / "postgres").exists()
