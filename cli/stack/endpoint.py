"""Where a running stack answers, and the key to it: the file that `weir up` leaves for the other commands."""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.errors import CliError
from cli.private_file import write_private

SERVICES = ("metering", "pricing", "invoicing", "payments")
FILE = "endpoint.json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`services`, `webhooks` and `sandbox` are where to connect; `process_id` is that of `weir up`."""

    tenant_id: str
    api_key: str
    services: Mapping[str, str]
    webhooks_url: str = ""
    sandbox_url: str = ""
    process_id: int = 0


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The data directory where none is named."""
    return Path(environ.get("WEIR_HOME") or ".weir")


def write_endpoint(data: Path, endpoint: Endpoint) -> None:
    write_private(data / FILE, json.dumps(asdict(endpoint), indent=2) + "\n")


def remove_endpoint(data: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        (data / FILE).unlink()


def read_endpoint(data: Path, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """WEIR_API_KEY and WEIR_<SERVICE>_TARGET where they are set, otherwise what `weir up` wrote. Raises CliError."""
    targets = {name: environ[_target(name)] for name in SERVICES if environ.get(_target(name))}
    api_key = environ.get("WEIR_API_KEY", "")
    if api_key and len(targets) == len(SERVICES):
        return Endpoint("", api_key, targets)
    path = data / FILE
    try:
        found = Endpoint(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise CliError(
            f"no weir is running on {data}: start one with `weir up --data {data}`, or set WEIR_API_KEY and"
            " WEIR_METERING_TARGET, WEIR_PRICING_TARGET, WEIR_INVOICING_TARGET and WEIR_PAYMENTS_TARGET"
        ) from None
    except (ValueError, TypeError):
        raise CliError(f"{path} was not written by this weir: stop `weir up`, remove the file, start again") from None
    return Endpoint(
        found.tenant_id,
        api_key or found.api_key,
        {**found.services, **targets},
        found.webhooks_url,
        found.sandbox_url,
        found.process_id,
    )


def _target(service: str) -> str:
    return f"WEIR_{service.upper()}_TARGET"
