"""From a tenant's processor account to the processor, ready to be called."""

from asyncio import get_running_loop
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeAlias

from libs.common.postgres import Pool
from services.payments.providers import Processor
from services.payments.store import accounts as account_rows
from services.payments.vault import Vault

Connector: TypeAlias = Callable[[Mapping[str, str]], Processor]
"""Credentials to the account that they open."""

MOST_KEPT = 1024
KEPT_SECONDS = 5.0


class Accounts:
    """Keeps the accounts last used, for some seconds each: so long do replaced credentials go on to be used."""

    def __init__(self, pool: Pool, vault: Vault, connectors: Mapping[str, Connector]) -> None:
        self._pool = pool
        self._vault = vault
        self._connectors = connectors
        self._kept: OrderedDict[tuple[str, str], tuple[float, Processor]] = OrderedDict()

    async def find(self, tenant_id: str, account_id: str) -> Processor | None:
        key, now = (tenant_id, account_id), get_running_loop().time()
        if key not in self._kept or self._kept[key][0] <= now:
            async with self._pool.acquire() as conn:
                found = await account_rows.find_credentials(conn, tenant_id, account_id)
            if found is None:
                return None
            processor, sealed = found
            self._kept[key] = now + KEPT_SECONDS, self._connectors[processor](self._vault.unseal(sealed))
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key][1]

    async def get(self, tenant_id: str, account_id: str) -> Processor:
        """For rows that name the account by a foreign key."""
        processor = await self.find(tenant_id, account_id)
        if processor is None:
            raise LookupError(f"tenant {tenant_id} has no processor account {account_id}")
        return processor
