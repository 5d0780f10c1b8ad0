"""`weir keys`."""

import os
from pathlib import Path

from cli.errors import WrongUsage
from cli.output import print_json
from cli.stack.secrets import issue, load
from libs.common.credentials import ALL_SCOPES


def create_key(data: Path, tenant: str, scopes: tuple[str, ...], *, live: bool, as_json: bool) -> None:
    if unknown := sorted(set(scopes) - ALL_SCOPES):
        raise WrongUsage(f"there is no scope {unknown[0]!r}; there are {', '.join(sorted(ALL_SCOPES))}")
    granted = frozenset(scopes) or ALL_SCOPES
    signing_key = os.environ.get("WEIR_SIGNING_KEY") or load(data).signing_key
    api_key = issue(signing_key, tenant, granted, live=live)
    if as_json:
        print_json({"api_key": api_key, "tenant_id": tenant, "scopes": sorted(granted), "live": live})
    else:
        print(api_key)
