from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings

from libs.common.postgres import Conn
from services.pricing import convert, documents, store
from services.pricing.domain.plans import Charge, Plan, PlanVersion
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.states import VersionState
from services.pricing.term_documents import terms_from_json, terms_json
from tests.conftest import Database
from tests.pricing.conftest import NOW
from tests.pricing.requests import create_plan
from tests.pricing.strategies import charges, plans, versions


@pytest.fixture
async def conn(database: Database) -> AsyncIterator[Conn]:
    opened = await asyncpg.connect(database.dsns["pricing"])
    yield opened
    await opened.close()


@pytest.fixture
async def plan(conn: Conn) -> Plan:
    request = create_plan()
    plan, version = convert.plan_in(request.plan, request.version, False, NOW)
    async with conn.transaction():
        assert await store.insert_plan(conn, "acme", plan, version, VersionState.ACTIVE, uuid4(), b"hash")
    return plan


@given(charges)
def test_charges_read_from_json_are_those_written(charge: Charge) -> None:
    assert documents.charges_from_json(documents.charges_json([charge])) == (charge,)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(versions)
def test_terms_read_from_json_are_those_written(version: PlanVersion) -> None:
    terms = terms_from_json(terms_json(version), version.currency)
    assert replace(version, **terms) == version


def test_a_version_of_the_first_release_has_no_terms() -> None:
    terms = terms_from_json("{}", "USD")
    assert not any(terms.values())


async def test_charges_that_say_nothing_of_filters_groups_and_limits_have_none() -> None:
    """As the first release wrote them."""
    text = '[{"code": "a", "name": "", "meter_code": "b", "price": {"model": "standard", "unit_price": "2"}}]'
    assert documents.charges_from_json(text) == (Charge("a", "", "b", StandardPrice(Decimal(2))),)
    assert documents.charges_json(documents.charges_from_json(text)) == text


async def test_charges_of_a_charge_model_that_this_release_lacks_are_not_guessed() -> None:
    with pytest.raises(ValueError, match="lottery"):
        documents.charges_from_json('[{"code": "a", "name": "", "meter_code": "a", "price": {"model": "lottery"}}]')


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(plans)
async def test_a_plan_read_from_the_database_is_the_one_written(conn: Conn, plan: Plan) -> None:
    tenant_id = f"tenant-{uuid4().hex}"
    version = plan.latest_version
    assert version is not None
    async with conn.transaction():
        assert await store.insert_plan(conn, tenant_id, plan, version, VersionState.ACTIVE, uuid4(), b"hash")
    assert await store.find_plan(conn, tenant_id, plan.code) == plan


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE plan_version SET charges = '[]'",
        "UPDATE plan_version SET version = 7",
        "UPDATE plan_version SET version = 7, state = 'archived'",
        "DELETE FROM plan_version",
        "TRUNCATE plan_version CASCADE",
    ],
)
async def test_the_database_itself_refuses_to_change_a_version(conn: Conn, plan: Plan, statement: str) -> None:
    with pytest.raises(asyncpg.RestrictViolationError, match="a plan version never changes"):
        await conn.execute(statement)
    assert await store.find_plan(conn, "acme", plan.code) == plan


async def test_the_database_itself_refuses_to_bring_a_version_back(conn: Conn, plan: Plan) -> None:
    await conn.execute("UPDATE plan_version SET state = 'archived'")
    for state in ("active", "draft"):
        with pytest.raises(asyncpg.RestrictViolationError, match="never back"):
            await conn.execute("UPDATE plan_version SET state = $1", state)


async def test_a_plan_cannot_name_a_newest_version_that_it_lacks(conn: Conn, plan: Plan) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await conn.execute("UPDATE plan SET latest_version = 2")


@pytest.mark.parametrize("rate_percent", ["-0.000001", "100.000001", "8.8750001"])
async def test_a_rate_that_is_no_percentage_cannot_be_stored(conn: Conn, rate_percent: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await conn.execute(
            "INSERT INTO tax (tenant_id, code, name, rate_percent, create_time, request_id, request_hash)"
            f" VALUES ('acme', 'vat', 'VAT', {rate_percent}, now(), gen_random_uuid(), '')"
        )


async def test_only_the_version_after_the_newest_can_be_inserted(conn: Conn, plan: Plan) -> None:
    first, active = plan.latest_version, VersionState.ACTIVE
    assert first is not None
    second = replace(first, version=2)
    assert not await store.insert_next_version(conn, "acme", replace(second, version=3), active, uuid4(), b"")
    assert not await store.insert_next_version(conn, "rival", second, active, uuid4(), b"")
    async with conn.transaction():
        assert await store.insert_next_version(conn, "acme", second, active, uuid4(), b"")
    assert not await store.insert_next_version(conn, "acme", second, active, uuid4(), b"")
    assert await store.list_versions(conn, "acme", plan.code, None, 10) == [(second, active), (first, active)]
