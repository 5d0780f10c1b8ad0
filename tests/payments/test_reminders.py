"""Reminders as e-mail, through a real SMTP server, to customers that invoicing knows."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from libs.embedded.process import free_port
from services.payments.mail import MailServer
from services.payments.worker import Sweeps
from tests.conftest import Database, Keys
from tests.invoicing.world import Tenant, World
from tests.invoicing.world import deployed as invoicing_deployed
from tests.payments.shop import Deployment, Shop, new_request_id
from tests.payments.test_dunning import DAY, campaign, failed, set_policy
from weir.invoicing.v1 import invoicing_pb2
from weir.payments.v1 import dunning_pb2 as pb

ADDRESS = "ada@example.com"


@dataclass
class Mailbox:
    """What the server has taken. `answer` is what it says to the next messages."""

    answer: str = "250 OK"
    taken: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answer.startswith("250"):
            message = message_from_bytes(envelope.content or b"", policy=policy.default)  # type: ignore[arg-type]
            assert isinstance(message, EmailMessage)
            self.taken.append(message)
        return self.answer


@dataclass
class Office:
    """A tenant that reminds its customers, and its mail server."""

    shop: Shop
    world: World
    acme: Tenant
    mailbox: Mailbox
    sweeps: Sweeps

    async def messages(self) -> list[Any]:
        return await self.shop.deployment.rows("SELECT * FROM message ORDER BY id")


@asynccontextmanager
async def mail_server() -> AsyncIterator[tuple[Mailbox, str]]:
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield mailbox, f"smtp://127.0.0.1:{controller.port}"
    finally:
        controller.stop()


@pytest.fixture
async def office(deployment: Deployment, database: Database, keys: Keys) -> AsyncIterator[Office]:
    shop = await Shop(deployment, tenant_id="t" + secrets.token_hex(4)).open()
    async with invoicing_deployed(database, keys, deployment.redis_url) as world, mail_server() as (mailbox, url):
        acme = world.tenant(shop.tenant_id)
        sweeps = await deployment.another_worker(
            invoicing_target=f"127.0.0.1:{world.invoicing_port}", smtp_url=url, mail_from="Weir <billing@acme.example>"
        )
        yield Office(shop, world, acme, mailbox, sweeps)


async def known(office: Office, email: str, customer_id: str = "ada") -> None:
    customer = invoicing_pb2.Customer(id=customer_id, name="Ada Lovelace\r\nBcc: x@y", email=email)
    request = invoicing_pb2.CreateCustomerRequest(request_id=new_request_id(), customer=customer)
    await office.acme.invoicing.CreateCustomer(request)


async def test_a_customer_is_written_to_once_and_told_what_is_due(office: Office) -> None:
    await known(office, "ada@example.com")
    reminder = pb.DunningReminder(day=0, subject="$invoice_number of $customer", body="Dear $customer, $amount. ä $$")
    await set_policy(office.shop, reminders=[reminder])
    await failed(office.shop)
    await office.sweeps.dun()
    await office.shop.receive(1000)
    for _ in range(2):
        await office.sweeps.remind()
    [mail] = office.mailbox.taken
    assert (mail["From"], mail["To"]) == ("Weir <billing@acme.example>", "ada@example.com")
    assert (mail["Subject"], mail["Bcc"]) == ("WEIR-inv_1 of Ada Lovelace Bcc: x@y", None)
    assert mail.get_content().startswith("Dear Ada Lovelace")
    assert mail.get_content().endswith(", 28.98 USD. ä $\r\n")
    [message] = await office.messages()
    assert (message["state"], message["recipient"]) == ("SENT", "ada@example.com")
    assert mail["Message-ID"] == f"<{message['id']}@acme.example>"


async def test_a_message_that_the_server_can_not_take_now_is_sent_later(office: Office) -> None:
    await known(office, "ada@example.com")
    await set_policy(office.shop)
    await failed(office.shop)
    await office.sweeps.dun()
    office.mailbox.answer = "451 try again"
    await office.sweeps.remind()
    assert [(row["state"], row["error"]) for row in await office.messages()] == [("WAITING", "451 try again")]
    office.mailbox.answer = "250 OK"
    office.shop.later(DAY / 24)
    await office.sweeps.remind()
    assert len(office.mailbox.taken) == 1
    await office.sweeps.dun()


async def test_a_message_that_can_not_or_need_not_be_sent_is_dropped_with_the_reason(office: Office) -> None:
    customers = {
        "paid": ADDRESS,
        "no address": "",
        "not an address": "ada lovelace",
        "two addresses": "two@x.example, addresses@x.example",
    }
    await set_policy(office.shop)
    for customer_id, email in customers.items():
        await known(office, email, customer_id)
    for customer_id in (*customers, "nobody"):
        await office.shop.bill(customer_id, customer_id=customer_id)
    await office.sweeps.dun()
    await office.shop.receive(3898, "paid")
    await office.sweeps.remind()
    assert {(row["state"], bool(row["error"])) for row in await office.messages()} == {("DROPPED", True)}
    assert len(await office.messages()) == 5
    await known(office, ADDRESS, "ada")
    await office.shop.bill("refused")
    await office.sweeps.dun()
    office.mailbox.answer = "554 no"
    await office.sweeps.remind()
    assert [row["error"] for row in await office.messages()][-1] == "554 no"
    assert not office.mailbox.taken


async def test_a_mail_server_that_is_away_only_delays(office: Office) -> None:
    await known(office, "ada@example.com")
    await set_policy(office.shop)
    await failed(office.shop)
    deaf = await office.shop.deployment.another_worker(
        invoicing_target="127.0.0.1:1", smtp_url=f"smtp://127.0.0.1:{free_port()}", mail_from="a@b.example"
    )
    await deaf.dun()
    await deaf.remind()
    assert [row["state"] for row in await office.messages()] == ["WAITING"]
    office.shop.later(DAY / 24)
    await office.sweeps.remind()
    assert len(office.mailbox.taken) == 1


async def test_without_a_mail_server_messages_are_dropped_and_noticed(shop: Shop) -> None:
    await set_policy(shop)
    await failed(shop)
    await shop.sweeps.dun()
    await shop.sweeps.remind()
    rows = await shop.deployment.rows("SELECT state, error FROM message")
    assert [tuple(row) for row in rows] == [("DROPPED", "there is no mail server")]


async def test_invoicing_hears_of_the_end_once(office: Office) -> None:
    await office.acme.plan("plan", base_fee=2000)
    await office.acme.start_clock("2023-11-01")
    await known(office, "")
    await office.acme.subscribe("sub", "ada", "plan", "2023-11-01")
    await office.acme.advance("2023-12-01")
    await office.world.bill()
    [invoice] = await office.acme.invoices()
    await set_policy(office.shop, retry_days=[], reminders=[], final_day=1)
    await failed(office.shop, invoice_id=invoice.id)
    await office.sweeps.dun()
    office.shop.later(2 * DAY)
    await office.sweeps.dun()
    found = await campaign(office.shop)
    assert found.state == pb.DunningCampaign.STATE_EXHAUSTED
    await office.shop.sweeps.dunning_report()  # invoicing is away
    office.shop.later(DAY)
    for _ in range(2):
        await office.shop.deployment.execute("UPDATE dunning_campaign SET reported_revision = 0")
        await office.sweeps.dunning_report()
    async with office.world.database() as conn:
        rows = await conn.fetch(
            "SELECT campaign_id, invoice_id, action FROM final_action WHERE tenant_id = $1", office.shop.tenant_id
        )
    assert [tuple(row) for row in rows] == [(found.id, invoice.id, "cancel")]


@pytest.mark.parametrize("url", ["", "http://mail", "smtp://", "smtp://host:port"])
def test_what_is_no_mail_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        MailServer.parsed(url, "a@b.example")
    with pytest.raises(ValueError, match="sender"):
        MailServer.parsed("smtp://host", "nobody")


def test_a_mail_server_keeps_its_password_to_itself() -> None:
    server = MailServer.parsed("smtps://ada:s%40fe@mail.example", "a@b.example")
    assert (server.port, server.is_tls, server.user, server.password) == (465, True, "ada", "s@fe")
    assert "s@fe" not in repr(server)
