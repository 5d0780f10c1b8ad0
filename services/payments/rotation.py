"""Rotation: what an older key of the deployment wraps is wrapped by the first one, when a worker starts."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog
from cryptography.fernet import InvalidToken

from libs.common.postgres import Conn, Pool
from services.payments.store import accounts, notices
from services.payments.vault import Vault

log = structlog.get_logger()

CHUNK = 500

_Read = Callable[[Conn, str, str, int], Awaitable[Sequence[tuple[str, str, bytes]]]]
_Write = Callable[[Conn, str, str, bytes, bytes], Awaitable[bool]]


async def rewrap(pool: Pool, vault: Vault) -> int:
    """How many envelopes were wrapped by an older key. What no key opens is logged, and left."""
    count = await _rewrap(pool, vault, accounts.sealed_after, accounts.rewrap)
    for column in ("secret", "previous_secret"):
        read, write = partial(notices.sealed_after, column=column), partial(notices.rewrap, column=column)
        count += await _rewrap(pool, vault, read, write)
    if count:
        log.info("credentials wrapped by the first key", count=count)
    return count


async def _rewrap(pool: Pool, vault: Vault, read: _Read, write: _Write) -> int:
    after, count = ("", ""), 0
    while True:
        async with pool.acquire() as conn:
            sealed = await read(conn, *after, CHUNK)
        for tenant_id, owner_id, letter in sealed:
            after = tenant_id, owner_id
            try:
                rewrapped = vault.rewrapped(letter)
            except InvalidToken:
                log.error("credentials that no key opens", tenant=tenant_id, id=owner_id)
                continue
            if rewrapped is not None:
                async with pool.acquire() as conn:
                    count += await write(conn, tenant_id, owner_id, letter, rewrapped)
        if len(sealed) < CHUNK:
            return count
