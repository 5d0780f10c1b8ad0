"""Reminding: a message is filled in and sent when its row is due, unless the campaign has ended meanwhile.

SMTP knows no idempotency: whoever dies between sending and recording sends again, under the same Message-ID.
"""

from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from typing import TYPE_CHECKING

import structlog

from libs.common.clock import Clock
from libs.common.credentials import Issuer
from libs.common.errors import BillingError, Unavailable
from libs.common.postgres import Pool
from libs.common.rpc.client import credential
from services.payments.domain.dunning import CampaignState, rendered
from services.payments.domain.message import Message
from services.payments.domain.payment import Payment, delay
from services.payments.mail import MailRefused, MailServer, MailUnavailable
from services.payments.pace import Pace
from services.payments.store import dunning, messages, payments
from weir.invoicing.v1 import invoicing_pb2

if TYPE_CHECKING:
    from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceAsyncStub

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reminding:
    """Without a `mail_server` messages are dropped; notices tell of them all the same."""

    pool: Pool
    invoicing: "InvoicingServiceAsyncStub"
    issuer: Issuer
    mail_server: MailServer | None
    clock: Clock
    pace: Pace

    async def send(self, message: Message) -> None:
        """Send a claimed message."""
        if self.mail_server is None:
            return await self._drop(message, "there is no mail server")
        async with self.pool.acquire() as conn:
            campaign = await dunning.find(conn, message.tenant_id, message.campaign_id)
            payment = await payments.find(conn, message.tenant_id, message.payment_id)
        assert campaign is not None, "messages name their campaign by a foreign key"
        assert payment is not None, "campaigns name their payment by a foreign key"
        if campaign.state in (CampaignState.RECOVERED, CampaignState.STOPPED):
            return await self._drop(message, f"the campaign is {campaign.state}")
        try:
            customer = await self._customer(payment)
            if not customer.email:
                return await self._drop(message, "the customer has no e-mail address")
            await self.mail_server.send(_email(message, payment, customer, self.mail_server.sender))
        except (MailUnavailable, Unavailable) as error:
            due_time = self.clock() + delay(self.pace.mail, message.tries - 1)
            async with self.pool.acquire() as conn:
                return await messages.postpone(conn, message, str(error), due_time)
        except (MailRefused, BillingError, ValueError) as error:
            return await self._drop(message, str(error) or repr(error))
        async with self.pool.acquire() as conn:
            await messages.sent(conn, message, customer.email)
        log.info("reminded", tenant=message.tenant_id, payment=message.payment_id, message=message.id)
        return None

    async def _customer(self, payment: Payment) -> invoicing_pb2.Customer:
        request = invoicing_pb2.GetCustomerRequest(id=payment.customer_id)
        key = credential(self.issuer.internal_key(payment.tenant_id))
        return (await self.invoicing.GetCustomer(request, metadata=key)).customer

    async def _drop(self, message: Message, error: str) -> None:
        log.warning("message dropped", tenant=message.tenant_id, message=message.id, cause=error)
        async with self.pool.acquire() as conn:
            await messages.drop(conn, message, error)


def _address(email: str) -> Address:
    """One, and nothing but it."""
    try:
        address = Address(addr_spec=email)
    except (MessageError, IndexError) as error:
        raise ValueError(f"not an e-mail address: {error}") from error
    if not address.domain:
        raise ValueError("not an e-mail address: it has no domain")
    return address


def _email(message: Message, payment: Payment, customer: invoicing_pb2.Customer, sender: str) -> EmailMessage:
    """Raises ValueError for an address that is none."""
    fields = {
        "customer": customer.name or customer.id,
        "invoice_number": payment.invoice_number,
        "amount": str(payment.due),
    }
    email = EmailMessage()
    email["From"] = sender
    email["To"] = _address(customer.email)
    email["Subject"] = " ".join(rendered(message.subject, fields).split())
    email["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2].rstrip('>')}>"
    email.set_content(rendered(message.body, fields))
    return email
