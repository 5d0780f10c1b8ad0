"""A tenant that collects through the sandbox, and short ways to what the tests need of it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
import httpx
import stripe
from cryptography.fernet import Fernet
from google.type import date_pb2

from libs.common.clock import system_clock
from libs.common.money import Money
from libs.common.rpc.client import channel, credential
from libs.common.wire import money_out
from services.payments.main import Ports, Settings, WorkerSettings, running, sweeping
from services.payments.pace import Pace
from services.payments.worker import Sweeps
from tests.conftest import Database, Keys
from tests.sandbox.running import RunningSandbox, new_key
from weir.payments.v1 import manual_payments_pb2
from weir.payments.v1 import payments_pb2 as pb
from weir.payments.v1.dunning_pb2_grpc import DunningServiceStub
from weir.payments.v1.manual_payments_pb2_grpc import ManualPaymentServiceStub
from weir.payments.v1.payment_requests_pb2_grpc import PaymentRequestServiceStub
from weir.payments.v1.payments_pb2_grpc import PaymentsServiceStub
from weir.payments.v1.receipts_pb2_grpc import ReceiptServiceStub
from weir.payments.v1.refunds_pb2_grpc import RefundServiceStub

if TYPE_CHECKING:
    from weir.payments.v1.payments_pb2_grpc import PaymentsServiceAsyncStub

NOBODY = "127.0.0.1:1"
"""Where nobody listens: invoicing is away."""

SOON = (timedelta(seconds=10),)
QUICK = Pace(lease=timedelta(seconds=60), unknown=SOON, lost=SOON, event=SOON, method=SOON, report=SOON)
"""What is to be tried again is due as soon as the tests move their clock by WHILE, which ends no lease."""
WHILE = timedelta(seconds=15)


@dataclass
class MovableClock:
    """The real time, moved by hand."""

    moved: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return system_clock() + self.moved


@dataclass
class Deployment:
    """The running service, its worker's sweeps run by hand, and the processor they call."""

    database: Database
    keys: Keys
    sandbox: RunningSandbox
    redis_url: str
    ports: Ports
    clock: MovableClock
    encryption_key: str
    stack: AsyncExitStack
    sweeps: Sweeps = field(init=False)

    def later(self, by: timedelta = WHILE) -> Sweeps:
        """The worker's sweeps, a while from now."""
        self.clock.moved += by
        return self.sweeps

    @property
    def webhook_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.webhook}"

    def client(self, tenant_id: str = "acme", *scopes: str) -> "PaymentsServiceAsyncStub":
        return PaymentsServiceStub(self.channel(tenant_id, *scopes))

    def channel(self, tenant_id: str = "acme", *scopes: str) -> grpc.aio.Channel:
        opened = channel(f"127.0.0.1:{self.ports.rpc}", self.keys.api_key(tenant_id, *scopes))
        self.stack.push_async_callback(opened.close)
        return opened

    async def another_worker(self, **changes: Any) -> Sweeps:
        return await self.stack.enter_async_context(sweeping(self.worker_settings(**changes), self.clock, QUICK))

    def worker_settings(self, **changes: Any) -> WorkerSettings:
        settings: dict[str, Any] = {
            "dsn": self.database.dsns["payments"],
            "redis_url": self.redis_url,
            "signing_key": self.keys.private_pem,
            "encryption_key": self.encryption_key,
            "invoicing_target": NOBODY,
            "stripe_api_url": self.sandbox.url,
            "adyen_api_url": self.sandbox.url,
            "gocardless_api_url": self.sandbox.url,
            "processor_timeout_seconds": 5,
        }
        return WorkerSettings(**(settings | changes))

    async def rows(self, query: str, *arguments: object) -> list[Any]:
        """Straight from the service's tables."""
        conn = await asyncpg.connect(self.database.dsns["payments"])
        try:
            return list(await conn.fetch(query, *arguments))
        finally:
            await conn.close()

    async def execute(self, statement: str) -> None:
        conn = await asyncpg.connect(self.database.dsns["payments"])
        try:
            await conn.execute(statement)
        finally:
            await conn.close()

    def fault(self, kind: str, path: str = "/v1/payment_intents", times: int = 1, **more: Any) -> None:
        self.sandbox.post("/_sandbox/faults", method="POST", path=path, kind=kind, times=times, **more)


@asynccontextmanager
async def deployed(
    database: Database, keys: Keys, sandbox: RunningSandbox, redis_url: str
) -> AsyncIterator[Deployment]:
    encryption_key = Fernet.generate_key().decode()
    clock = MovableClock()
    settings = Settings(
        dsn=database.dsns["payments"],
        redis_url=redis_url,
        public_keys=keys.public_pem,
        encryption_key=encryption_key,
        listen="127.0.0.1:0",
        webhook_listen="127.0.0.1:0",
        stripe_api_url=sandbox.url,
        adyen_api_url=sandbox.url,
        gocardless_api_url=sandbox.url,
        processor_timeout_seconds=5,
    )
    async with AsyncExitStack() as stack:
        ports = await stack.enter_async_context(running(settings, clock))
        deployment = Deployment(database, keys, sandbox, redis_url, ports, clock, encryption_key, stack)
        deployment.sweeps = await deployment.another_worker()
        yield deployment


@dataclass
class Shop:
    """One tenant with one Stripe account of its own."""

    deployment: Deployment
    tenant_id: str = "acme"
    account_id: str = "stripe"
    secret_key: str = field(default_factory=new_key)
    webhook_secret: str = ""
    endpoint_id: str = ""

    def __post_init__(self) -> None:
        self.payments = self.deployment.client(self.tenant_id)
        opened = self.deployment.channel(self.tenant_id)
        self.refunds = RefundServiceStub(opened)
        self.manual = ManualPaymentServiceStub(opened)
        self.receipts = ReceiptServiceStub(opened)
        self.dunning = DunningServiceStub(opened)
        self.requests = PaymentRequestServiceStub(opened)

    @property
    def sweeps(self) -> Sweeps:
        return self.deployment.sweeps

    def later(self, by: timedelta = WHILE) -> Sweeps:
        return self.deployment.later(by)

    async def open(self, *, webhooks: bool = False) -> "Shop":
        """Connect the account; with `webhooks`, the sandbox sends them."""
        path = f"/webhooks/{self.tenant_id}/{self.account_id}"
        self.webhook_secret = "whsec_of_the_tests"
        if webhooks:
            endpoint = await self.at_stripe(
                lambda client: client.v1.webhook_endpoints.create_async(
                    {"url": self.deployment.webhook_url + path, "enabled_events": ["*"]}
                )
            )
            self.webhook_secret, self.endpoint_id = endpoint.secret, endpoint.id
        account = pb.ProcessorAccount(id=self.account_id, processor=pb.PROCESSOR_STRIPE)
        keys = pb.StripeCredentials(secret_key=self.secret_key, webhook_secret=self.webhook_secret)
        await self.payments.CreateProcessorAccount(
            pb.CreateProcessorAccountRequest(request_id=new_request_id(), processor_account=account, stripe=keys)
        )
        return self

    async def at_stripe(self, call: Callable[[stripe.StripeClient], Awaitable[Any]]) -> Any:
        """What a merchant does at Stripe, past Weir."""
        http = stripe.HTTPXClient(timeout=10)
        try:
            return await call(
                stripe.StripeClient(
                    self.secret_key,
                    base_addresses={"api": self.deployment.sandbox.url},
                    max_network_retries=0,
                    http_client=http,
                )
            )
        finally:
            await http.close_async()  # type: ignore[no-untyped-call]

    async def save(self, card: str = "pm_card_visa", customer_id: str = "ada") -> pb.PaymentMethod:
        response = await self.payments.SavePaymentMethod(
            pb.SavePaymentMethodRequest(
                request_id=new_request_id(),
                customer_id=customer_id,
                processor_account_id=self.account_id,
                processor_token=card,
            )
        )
        return response.payment_method

    async def bill(
        self, invoice_id: str = "inv_1", minor_units: int = 3898, customer_id: str = "ada", currency: str = "USD"
    ) -> pb.Payment:
        request = pb.CreatePaymentRequest(
            request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, invoice_id)),
            invoice_id=invoice_id,
            invoice_number=f"WEIR-{invoice_id}",
            customer_id=customer_id,
            amount=money_out(Money(minor_units, currency)),
        )
        return (await self.create_payment(request)).payment

    async def create_payment(self, request: pb.CreatePaymentRequest) -> pb.CreatePaymentResponse:
        """As invoicing does, with an internal key."""
        metadata = credential(self.deployment.keys.issuer.internal_key(self.tenant_id))
        opened = channel(f"127.0.0.1:{self.deployment.ports.rpc}")
        try:
            return await PaymentsServiceStub(opened).CreatePayment(request, metadata=metadata)
        finally:
            await opened.close()

    async def receive(self, minor_units: int, invoice_id: str = "inv_1", request_id: str = "", **more: Any) -> str:
        """Record a bank transfer; its id."""
        request = manual_payments_pb2.RecordManualPaymentRequest(
            request_id=request_id or new_request_id(),
            invoice_id=invoice_id,
            amount=money_out(Money(minor_units, more.pop("currency", "USD"))),
            **({"reference": "transfer 7", "receive_date": date_pb2.Date(year=2026, month=11, day=20)} | more),
        )
        return (await self.manual.RecordManualPayment(request)).manual_payment.id

    async def payment(self, payment_id: str) -> pb.Payment:
        return (await self.payments.GetPayment(pb.GetPaymentRequest(id=payment_id))).payment

    async def retry(self, payment_id: str, request_id: str = "") -> pb.Payment:
        request = pb.RetryPaymentRequest(request_id=request_id or new_request_id(), id=payment_id)
        return (await self.payments.RetryPayment(request)).payment

    def charges(self, status: str = "succeeded") -> list[Any]:
        """The charges of the account at the processor."""
        return [charge for charge in self.deployment.sandbox.charges(self.secret_key) if charge["status"] == status]

    def settle(self, payment: pb.Payment, outcome: str) -> None:
        """Let the bank answer, or the customer."""
        reference = payment.attempts[-1].processor_reference
        self.deployment.sandbox.post(f"/_sandbox/stripe/payment_intents/{reference}/settle", outcome=outcome)

    async def deliver(self, body: str | bytes, *, header: str | None = None, path: str = "") -> int:
        """Post a webhook, by default with a good signature; the status of the answer."""
        if header is None:
            text = body if isinstance(body, str) else body.decode()
            header = stripe.WebhookSignature.generate_signature_header(text, self.webhook_secret)
        url = self.deployment.webhook_url + (path or f"/webhooks/{self.tenant_id}/{self.account_id}")
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.post(url, content=body, headers={"Stripe-Signature": header})).status_code

    async def events(self) -> list[Any]:
        """The inbox, oldest first."""
        return await self.deployment.rows(
            "SELECT * FROM webhook_event WHERE tenant_id = $1 ORDER BY receive_time", self.tenant_id
        )


def new_request_id() -> str:
    return str(uuid.uuid4())


def states(payment: pb.Payment) -> tuple[str, Sequence[str]]:
    """The payment's state and its attempts', short."""
    name = pb.Payment.State.Name(payment.state).removeprefix("STATE_")
    attempt = pb.PaymentAttempt.State.Name
    return name, [attempt(each.state).removeprefix("STATE_") for each in payment.attempts]


async def eventually(reached: Callable[[], Awaitable[object]], within_seconds: float = 10) -> None:
    """Other processes do not say when they are done."""
    async with asyncio.timeout(within_seconds):
        while not await reached():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
