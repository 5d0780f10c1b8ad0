"""A tenant that collects through the sandbox: a server of payments, customers with cards, and invoices.

Invoicing is a server that answers at once, whatever it is told.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
from cryptography.fernet import Fernet

from bench.stack import Process, echo, new_database, postgres, sandbox, service, valkey
from libs.common.clock import system_clock
from libs.common.credentials import Issuer, generate_private_key, load_private_key
from libs.common.money import Money
from libs.common.rpc.client import channel, credential
from libs.common.wire import money_out
from libs.embedded.postgres import Postgres
from libs.embedded.process import HOST, free_port
from services.payments.providers.stripe import events
from weir.payments.v1 import payments_pb2 as pb
from weir.payments.v1.payments_pb2_grpc import PaymentsServiceStub

TENANT = "bench"
ACCOUNT = "stripe"
WEBHOOK_PATH = f"/webhooks/{TENANT}/{ACCOUNT}"
WEBHOOK_SECRET = "whsec_of_the_bench"  # noqa: S105 there is nothing behind it
SECRET_KEY = "sk_test_bench"  # noqa: S105 of the sandbox
CARD = "pm_card_visa"
CURRENCY = "USD"
CUSTOMERS = 200
CALLS_AT_A_TIME = 16
POLL_SECONDS = 0.05
COLLECTED = "SELECT count(*) FROM payment WHERE state = 'SUCCEEDED'"


@dataclass(frozen=True, slots=True)
class Collecting:
    """`settings` are what a worker beside the server needs."""

    server: Process
    sandbox: Process
    postgres: Postgres
    dsn: str
    webhook_port: int
    settings: dict[str, str]

    async def bill(self, invoices: int) -> None:
        """Have that many payments due, as invoicing does."""
        issuer = Issuer(load_private_key(self.settings["WEIR_SIGNING_KEY"]), system_clock)
        metadata = credential(issuer.internal_key(TENANT))
        async with channel(self.server.target) as opened:
            payments = PaymentsServiceStub(opened)

            async def create(number: int) -> None:
                request = pb.CreatePaymentRequest(
                    request_id=str(uuid4()),
                    invoice_id=f"inv_{number}",
                    invoice_number=f"BENCH-{number}",
                    customer_id=f"customer_{number % CUSTOMERS}",
                    amount=money_out(Money(1_000 + number, CURRENCY)),
                )
                await payments.CreatePayment(request, metadata=metadata)

            await at_a_time(create, range(invoices))

    async def charge(self, count: int) -> None:
        """Have as many payments as that fall due, and wait until they are collected."""
        collected = await self.fetch(COLLECTED)
        await self.execute(
            f"""
            UPDATE payment SET due_time = now()
            WHERE id IN (SELECT id FROM payment WHERE state = 'PENDING' LIMIT {count})
            """
        )
        await self.wait_until(COLLECTED, lambda now: now == collected + count)

    async def receive(self, bodies: Iterable[str]) -> None:
        """Put webhooks about charges into the inbox, as if they had just come."""
        told = [events.read(body.encode(), live=False) for body in bodies]
        now = system_clock()
        rows = [
            (TENANT, ACCOUNT, each.id, each.type, each.reference, each.body, "RECEIVED", now, now, each.subject)
            for each in told
        ]
        columns = (
            "tenant_id", "processor_account_id", "id", "type", "reference", "body", "state", "due_time", "receive_time",
            "subject",
        )  # fmt: skip
        async with self._connected() as conn:
            await conn.copy_records_to_table("webhook_event", records=rows, columns=columns)

    async def references(self, limit: int) -> list[str]:
        """The processor's ids of charges that were collected."""
        async with self._connected() as conn:
            rows = await conn.fetch("SELECT reference FROM payment_attempt WHERE state = 'SUCCEEDED' LIMIT $1", limit)
        return [row["reference"] for row in rows]

    async def wait_until(self, query: str, reached: Callable[[int], bool]) -> None:
        """Until the number that the query finds is as wanted."""
        async with self._connected() as conn:
            while not reached(await conn.fetchval(query)):  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)

    async def fetch(self, query: str) -> int:
        async with self._connected() as conn:
            return int(await conn.fetchval(query))

    async def execute(self, statement: str) -> None:
        async with self._connected() as conn:
            await conn.execute(statement)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        conn = await asyncpg.connect(self.dsn)
        try:
            yield conn
        finally:
            await conn.close()


@asynccontextmanager
async def collecting() -> AsyncIterator[Collecting]:
    async with AsyncExitStack() as stack:
        processor = await stack.enter_async_context(sandbox())
        server = await stack.enter_async_context(postgres())
        dsn = await new_database(server, "payments")
        webhook_port = free_port()
        settings = {
            "WEIR_SIGNING_KEY": generate_private_key(),
            "WEIR_PAYMENTS_ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "WEIR_PAYMENTS_WEBHOOK_LISTEN": f"{HOST}:{webhook_port}",
            "WEIR_REDIS_URL": (await stack.enter_async_context(valkey())).url,
            "WEIR_STRIPE_API_URL": processor.target,
            "WEIR_INVOICING_TARGET": (await stack.enter_async_context(echo())).target,
        }
        process = await stack.enter_async_context(service("payments", dsn, TENANT, settings))
        running = Collecting(process, processor, server, dsn, webhook_port, settings)
        await _save_cards(running)
        yield running


async def _save_cards(running: Collecting) -> None:
    async with channel(running.server.target, running.server.api_key) as opened:
        payments = PaymentsServiceStub(opened)
        account = pb.ProcessorAccount(id=ACCOUNT, processor=pb.PROCESSOR_STRIPE)
        keys = pb.StripeCredentials(secret_key=SECRET_KEY, webhook_secret=WEBHOOK_SECRET)
        await payments.CreateProcessorAccount(
            pb.CreateProcessorAccountRequest(request_id=str(uuid4()), processor_account=account, stripe=keys)
        )

        async def save(number: int) -> None:
            request = pb.SavePaymentMethodRequest(
                request_id=str(uuid4()),
                customer_id=f"customer_{number}",
                processor_account_id=ACCOUNT,
                processor_token=CARD,
            )
            await payments.SavePaymentMethod(request)

        await at_a_time(save, range(CUSTOMERS))


async def at_a_time(call: Callable[[int], Awaitable[None]], numbers: Iterable[int]) -> None:
    """As many calls at a time as a worker has rows in work."""
    waiting = iter(numbers)

    async def lane() -> None:
        for number in waiting:
            await call(number)

    await asyncio.gather(*(lane() for _ in range(CALLS_AT_A_TIME)))
