"""What only this deployment knows: made once, kept in its data directory."""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.errors import CliError
from cli.private_file import write_private
from cli.stack.endpoint import SERVICES
from libs.common.clock import system_clock
from libs.common.credentials import ALL_SCOPES, Issuer, generate_private_key, load_private_key

FILE = "secrets.json"
TENANT = "demo"


@dataclass(frozen=True, slots=True)
class Secrets:
    """`signing_key` is PEM, `encryption_key` 32 random bytes in URL-safe base64, `api_key` a test key of `TENANT`."""

    signing_key: str
    encryption_key: str
    database_passwords: Mapping[str, str]
    api_key: str


def load_or_make(data: Path) -> Secrets:
    """Raises CliError where the file is there and damaged: to make new ones would orphan the data."""
    path = data / FILE
    if path.exists():
        return load(data)
    signing_key = generate_private_key()
    made = Secrets(
        signing_key=signing_key,
        encryption_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        database_passwords={service: secrets.token_urlsafe(24) for service in SERVICES},
        api_key=issue(signing_key, TENANT, ALL_SCOPES, live=False),
    )
    write_private(path, json.dumps(asdict(made), indent=2) + "\n")
    return made


def load(data: Path) -> Secrets:
    """Raises CliError."""
    path = data / FILE
    try:
        return Secrets(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise CliError(f"there is no {path}: start weir there first, or set WEIR_SIGNING_KEY") from None
    except (ValueError, TypeError):
        raise CliError(f"{path} is damaged; restore it from a backup, the data can't be used without it") from None


def issue(signing_key: str, tenant_id: str, scopes: frozenset[str], *, live: bool) -> str:
    """An API key. Raises CliError for a malformed signing key or tenant id."""
    try:
        return Issuer(load_private_key(signing_key), system_clock).api_key(tenant_id, scopes, live=live)
    except ValueError as error:
        raise CliError(str(error)) from None
