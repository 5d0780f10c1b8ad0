from uuid import uuid4

import asyncpg
import pytest

from libs.common.errors import NotFound
from libs.common.postgres import Conn, create_pool
from services.pricing import convert, store
from services.pricing.domain.states import VersionState
from services.pricing.versions import Versions
from tests.conftest import Database
from tests.pricing.conftest import NOW
from tests.pricing.requests import create_plan


async def insert(conn: Conn, code: str) -> None:
    request = create_plan(code)
    plan, version = convert.plan_in(request.plan, request.version, False, NOW)
    async with conn.transaction():
        assert await store.insert_plan(conn, "acme", plan, version, VersionState.ACTIVE, uuid4(), b"hash")


async def test_the_versions_used_last_are_answered_without_the_database(database: Database) -> None:
    async with await create_pool(database.dsns["pricing"]) as pool:
        versions = Versions(pool, capacity=2)
        async with pool.acquire() as conn:
            for code in ("a", "b", "c"):
                await insert(conn, code)
        first = await versions.get("acme", "a", 1)
        await versions.get("acme", "b", 1)
        await versions.get("acme", "a", 1)
        await versions.get("acme", "c", 1)
    assert await versions.get("acme", "a", 1) is first
    assert (await versions.get("acme", "c", 1)).plan_code == "c"
    with pytest.raises(asyncpg.InterfaceError):
        await versions.get("acme", "b", 1)


async def test_what_was_not_found_is_looked_for_again(database: Database) -> None:
    async with await create_pool(database.dsns["pricing"]) as pool:
        versions = Versions(pool)
        with pytest.raises(NotFound):
            await versions.get("acme", "a", 1)
        async with pool.acquire() as conn:
            await insert(conn, "a")
        assert (await versions.get("acme", "a", 1)).version == 1
