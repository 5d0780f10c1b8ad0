"""Columns as Postgres receives and sends them."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.metering import store
from tests.conftest import Database

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
COLUMNS = {
    "uuid": st.binary(min_size=16, max_size=16),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "int": st.integers(-(2**31), 2**31 - 1),
    "text": TEXTS | st.none(),
}


@pytest.fixture
async def conn(database: Database) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    conn = await store.connect_writer(database.dsns["metering"])
    yield conn
    await conn.close()


@pytest.mark.parametrize("element_type", COLUMNS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(data=st.data())
async def test_what_postgres_is_given_it_gives_back(
    conn: "asyncpg.Connection[asyncpg.Record]", element_type: str, data: st.DataObject
) -> None:
    values = data.draw(st.lists(COLUMNS[element_type], max_size=40))
    assert await conn.fetchval(f"SELECT $1::{element_type}[]", values) == values
    assert [row[0] for row in await conn.fetch(f"SELECT unnest($1::{element_type}[])", values)] == values
