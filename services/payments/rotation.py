"""Rotation: what an older key of the deployment wraps is wrapped by the first one, when a worker starts."""

import structlog
from cryptography.fernet import InvalidToken

from libs.common.postgres import Pool
from services.payments.store import accounts
from services.payments.vault import Vault

log = structlog.get_logger()

CHUNK = 500


async def rewrap(pool: Pool, vault: Vault) -> int:
    """How many accounts had an older key. What no key opens is logged, and left."""
    after, count = ("", ""), 0
    while True:
        async with pool.acquire() as conn:
            sealed = await accounts.sealed_after(conn, *after, CHUNK)
        for tenant_id, account_id, credentials in sealed:
            after = tenant_id, account_id
            try:
                rewrapped = vault.rewrapped(credentials)
            except InvalidToken:
                log.error("credentials that no key opens", tenant=tenant_id, account=account_id)
                continue
            if rewrapped is not None:
                async with pool.acquire() as conn:
                    count += await accounts.rewrap(conn, tenant_id, account_id, credentials, rewrapped)
        if len(sealed) < CHUNK:
            break
    if count:
        log.info("credentials wrapped by the first key", accounts=count)
    return count
