"""Customers and subscriptions for benches: the service makes one of each, the others are copies in its database."""

from datetime import UTC, datetime
from uuid import uuid4

import asyncpg

from bench.together import Together
from libs.common.rpc.client import channel
from libs.common.wire import timestamp_out
from weir.invoicing.v1.invoicing_pb2 import (
    CreateCustomerRequest,
    CreateSubscriptionRequest,
    CreateTestClockRequest,
    Customer,
    Subscription,
)
from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceStub

NOVEMBER = datetime(2023, 11, 1, tzinfo=UTC)


async def subscribe(
    running: Together, subscriptions: int, customers: int | None = None, *, test_now: datetime | None = None
) -> None:
    """`subscriptions` named sub_0 and so on, on the plan "classic" since October 2023, whose November is to be billed
    next; dealt out to as many customers, or to `customers`. The clock is real, or stands at `test_now`. Nothing has
    come late of October.
    """
    await _make_one(running, test_now)
    metering = await asyncpg.connect(running.dsns["metering"])
    watermark = await metering.fetchval("SELECT coalesce(max(sequence), 0) FROM event_batch")
    await metering.close()
    conn = await asyncpg.connect(running.dsns["invoicing"], server_settings={"timezone": "UTC"})
    october = "start_time = start_time - interval '1 month'"
    await conn.execute(f"UPDATE subscription SET {october}, billed_watermark = $1", watermark)
    await conn.execute(f"UPDATE subscription_phase SET {october}")
    customers = customers or subscriptions
    await _copy(conn, "customer", customers, {"id": "'customer_' || n", "request_id": "gen_random_uuid()"})
    subscription = {
        "id": "'sub_' || n",
        "customer_id": f"'customer_' || n % {customers}",
        "request_id": "gen_random_uuid()",
        "turn": f"floor(log(2, n / {customers} + 1))",
    }
    await _copy(conn, "subscription", subscriptions, subscription)
    await _copy(conn, "subscription_phase", subscriptions, {"subscription_id": "'sub_' || n"})
    await conn.execute("VACUUM (ANALYZE) customer, subscription, subscription_phase")
    await conn.close()


async def _make_one(running: Together, test_now: datetime | None) -> None:
    process = running.processes["invoicing"]
    made = Subscription(id="sub_0", customer_id="customer_0", plan_code="classic", start_time=timestamp_out(NOVEMBER))
    async with channel(process.target, process.api_key) as opened:
        invoicing = InvoicingServiceStub(opened)
        if test_now is not None:
            start = timestamp_out(test_now)
            await invoicing.CreateTestClock(CreateTestClockRequest(request_id=str(uuid4()), start_time=start))
        customer = Customer(id="customer_0", name="Customer")
        await invoicing.CreateCustomer(CreateCustomerRequest(request_id=str(uuid4()), customer=customer))
        await invoicing.CreateSubscription(CreateSubscriptionRequest(request_id=str(uuid4()), subscription=made))


async def _copy(conn: "asyncpg.Connection[asyncpg.Record]", table: str, count: int, different: dict[str, str]) -> None:
    """Make `count` rows of the only one, the nth (from 0) with the expressions of n that are `different`."""
    columns = [
        row["attname"]
        for row in await conn.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND attgenerated = ''"
            " AND NOT attisdropped",
            table,
        )
    ]
    values = (different.get(each, f"one.{each}") for each in columns)
    await conn.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)}"
        f" FROM {table} one, generate_series(1, $1::int - 1) AS n",
        count,
        timeout=600,
    )
