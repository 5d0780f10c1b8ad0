"""`python -m services SERVICE [server | worker | connector | migrate]`: one image, the command picks the process."""

import asyncio
import importlib
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog

from libs.common import logs
from libs.common.postgres import migrate
from libs.common.settings import SettingsError

SERVICES = ("metering", "pricing", "invoicing", "payments")
ROLES = ("server", "worker", "connector", "migrate")
CONNECTOR = ("metering", "connector")
"""Has a composition root of its own: what a connector needs, a server does not."""

log = structlog.get_logger()


def main(arguments: list[str]) -> int:
    service, role = (*arguments, "server")[:2] if arguments else ("", "")
    if service not in SERVICES or role not in ROLES or len(arguments) > 2:
        print(f"usage: python -m services {{{'|'.join(SERVICES)}}} [{'|'.join(ROLES)}]", file=sys.stderr)
        return 2
    logs.configure(service)
    try:
        asyncio.run(_process(service, role))
    except SettingsError as error:
        print(f"{service}: {error}", file=sys.stderr)
        return 2
    return 0


def migrations(service: str) -> Path:
    """Where the service's migrations are."""
    return Path(__file__).parent / service / "migrations"


def _process(service: str, role: str) -> Coroutine[Any, Any, None]:
    if role == "migrate":
        return _migrate(service)
    root = "connectors.main" if (service, role) == CONNECTOR else "main"
    module = importlib.import_module(f"services.{service}.{root}")
    if not hasattr(module, role):
        raise SettingsError(f"there is no {role} process")
    process: Coroutine[Any, Any, None] = getattr(module, role)()
    return process


async def _migrate(service: str) -> None:
    name = f"WEIR_{service.upper()}_DSN"
    if not (dsn := os.environ.get(name)):
        raise SettingsError(f"{name} is not set")
    log.info("migrated", applied=await migrate(dsn, migrations(service)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
