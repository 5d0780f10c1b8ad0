"""Voids and offsets of invoices that payments has: it gives them back first, or they stay as they are."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
from cryptography.fernet import Fernet

from libs.common.clock import system_clock
from libs.common.errors import FailedPrecondition
from libs.embedded.valkey import Valkey
from services.invoicing.store import hand_overs
from services.payments import main as payments
from tests.conftest import Database, Keys
from tests.invoicing import test_activation, test_unused_fees
from tests.invoicing.test_credit_notes import OFFSET, bill, billed, create, require_books, reread, void_invoice, wanted
from tests.invoicing.test_unused_fees import Terminate
from tests.invoicing.world import CLOSED, Tenant, World, deployed, new_request_id
from weir.invoicing.v1.invoicing_pb2 import Invoice


@pytest.fixture
async def world(database: Database, keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    """With payments, whose customers have no methods: nothing is charged."""
    settings = payments.Settings(
        dsn=database.dsns["payments"],
        redis_url=valkey.url,
        public_keys=keys.public_pem,
        encryption_key=Fernet.generate_key().decode(),
        listen="127.0.0.1:0",
        webhook_listen="127.0.0.1:0",
        stripe_api_url=f"http://{CLOSED}",
        processor_timeout_seconds=5,
    )
    async with (
        payments.running(settings, system_clock) as ports,
        deployed(database, keys, valkey.url, f"127.0.0.1:{ports.rpc}") as running,
    ):
        yield running


async def handed_over(world: World, acme: Tenant) -> Invoice:
    invoice = await billed(world, acme)
    await hand_over(world)
    return invoice


async def hand_over(world: World) -> None:
    async with world.worker() as biller:
        while await biller.hand_over():
            pass


async def payment(database: Database, change: str = "") -> tuple[str, int]:
    """The only payment's state and amount, after a change to its row."""
    conn = await asyncpg.connect(database.dsns["payments"])
    try:
        if change:
            await conn.execute(f"UPDATE payment SET {change}")
        row = await conn.fetchrow("SELECT state, minor_units FROM payment")
        assert row is not None
        return row["state"], row["minor_units"]
    finally:
        await conn.close()


async def test_payments_gives_a_voided_invoice_back(world: World, acme: Tenant, database: Database) -> None:
    invoice = await handed_over(world, acme)
    assert await payment(database) == ("AWAITING_METHOD", 2400)
    assert (await void_invoice(acme, invoice)).state == Invoice.STATE_VOIDED
    assert await payment(database) == ("CANCELED", 2400)
    await hand_over(world)
    assert await payment(database) == ("CANCELED", 2400)


async def test_payments_collects_what_an_offset_leaves(world: World, acme: Tenant, database: Database) -> None:
    invoice = await handed_over(world, acme)
    await create(acme, wanted(invoice, 500, kind=OFFSET))
    await hand_over(world)
    assert await payment(database) == ("AWAITING_METHOD", 1800)
    await create(acme, wanted(invoice, kind=OFFSET))
    await hand_over(world)
    assert await payment(database) == ("CANCELED", 1800)
    assert (await reread(acme, invoice)).payment_status == Invoice.PAYMENT_STATUS_SUCCEEDED
    await require_books(world)


@pytest.mark.parametrize("state", ["PROCESSING", "SUCCEEDED"])
async def test_an_invoice_that_is_being_collected_stays_as_it_is(
    world: World, acme: Tenant, database: Database, state: str
) -> None:
    invoice = await handed_over(world, acme)
    await payment(database, f"state = '{state}', charged_minor = minor_units")
    for change in (void_invoice(acme, invoice), create(acme, wanted(invoice, 500, kind=OFFSET))):
        with pytest.raises(FailedPrecondition) as refused:
            await change
        assert refused.value.reason == "PAYMENT_UNDER_WAY"
    assert await reread(acme, invoice) == invoice
    assert await payment(database) == (state, 2400)


async def test_an_invoice_taken_back_by_somebody_who_died_is_collected_after_all(
    world: World, acme: Tenant, database: Database
) -> None:
    invoice = await handed_over(world, acme)
    async with world.database() as conn:
        await conn.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'killed'; END $$;"
            " CREATE TRIGGER fail BEFORE UPDATE ON hand_over FOR EACH ROW WHEN (NOT NEW.is_asked)"
            " EXECUTE FUNCTION fail()"
        )
        with pytest.raises(Exception, match="internal error"):
            await void_invoice(acme, invoice)
        await conn.execute("DROP TRIGGER fail ON hand_over")
        assert await payment(database) == ("CANCELED", 2400)
        await hand_over(world)
        assert await payment(database) == ("CANCELED", 2400)
        await conn.execute("UPDATE hand_over SET due_time = now()")
    await hand_over(world)
    assert await payment(database) == ("AWAITING_METHOD", 2400)
    assert (await void_invoice(acme, invoice)).state == Invoice.STATE_VOIDED


async def test_news_of_an_invoice_that_was_taken_back_meanwhile_do_not_end_its_hand_over(
    world: World, acme: Tenant
) -> None:
    invoice = await billed(world, acme)
    now = system_clock()
    later = now + timedelta(seconds=30)
    async with world.database() as conn:
        claimed = await hand_overs.claim(conn, now, later, 10)
        taken_back = await hand_overs.take_back(conn, "acme", invoice.id, later)
        assert taken_back is not None
        await hand_overs.end(conn, claimed)
        await hand_overs.postpone(conn, claimed, now)
        assert await conn.fetchval("SELECT due_time FROM hand_over") == later
        await hand_overs.end(conn, [taken_back])
        assert await conn.fetchval("SELECT due_time FROM hand_over") is None


async def test_voids_offsets_and_hand_overs_at_once_leave_payments_with_what_is_due(
    world: World, acme: Tenant, database: Database
) -> None:
    invoice = await handed_over(world, acme)
    changes = [create(acme, wanted(invoice, 100, kind=OFFSET), str(uuid.uuid4())) for _ in range(4)]
    await asyncio.gather(*changes, *(hand_over(world) for _ in range(3)), return_exceptions=True)
    async with world.database() as conn:
        await conn.execute("UPDATE hand_over SET due_time = now()")
    await hand_over(world)
    after = await reread(acme, invoice)
    assert await payment(database) == ("AWAITING_METHOD", after.amount_due.minor_units)
    await void_invoice(acme, after)
    assert (await payment(database))[0] == "CANCELED"
    await require_books(world)
    assert (await bill(world, acme, "2024-01-01"))[1].period.start_time == invoice.period.end_time


async def test_payments_gives_the_invoice_of_a_canceled_subscription_back(
    world: World, acme: Tenant, database: Database
) -> None:
    await test_activation.begin(acme)
    await test_activation.subscribe(acme)
    await world.bill()
    await hand_over(world)
    assert await payment(database) == ("AWAITING_METHOD", 3000)
    await acme.advance("2023-11-02")
    await world.bill()
    assert await payment(database) == ("CANCELED", 3000)
    assert [each.state for each in await acme.invoices()] == [Invoice.STATE_VOIDED]


async def test_unused_days_are_offset_once_payments_has_given_the_invoice_back(
    world: World, acme: Tenant, database: Database
) -> None:
    await test_unused_fees.paid_in_advance(acme, "2025-02-08", 10000)
    await world.bill()
    await hand_over(world)
    assert await payment(database) == ("AWAITING_METHOD", 9000)
    await acme.advance("2025-02-21T12:00")
    await world.bill()
    await payment(database, "state = 'PROCESSING'")
    end = Terminate(request_id=new_request_id(), id="s", on_unused_fee=Terminate.ON_UNUSED_FEE_OFFSET)
    await acme.invoicing.TerminateSubscription(end)
    await world.bill()
    assert await test_unused_fees.notes(acme) == []
    await payment(database, "state = 'FAILED'")
    async with world.database() as conn:
        await conn.execute("UPDATE waiting_offset SET available_time = '-infinity'")
    await world.bill()
    [note] = await test_unused_fees.notes(acme)
    assert (note.kind, note.total.minor_units) == (note.KIND_OFFSET, 3000)
    await hand_over(world)
    assert (await payment(database))[1] == 6000
