"""Telling invoicing how a payment stands."""

from libs.common.money import Money
from tests.conftest import Database, Keys
from tests.invoicing.world import deployed as invoicing_deployed
from tests.payments.shop import Deployment, Shop
from weir.invoicing.v1 import invoicing_pb2
from weir.payments.v1 import payments_pb2 as pb

Status = invoicing_pb2.Invoice.PaymentStatus


async def unreported(deployment: Deployment) -> int:
    [row] = await deployment.rows("SELECT count(*) FROM payment WHERE reported_revision < revision")
    return int(row["count"])


async def test_a_report_waits_while_invoicing_is_away_and_arrives_when_it_is_back(
    shop: Shop, database: Database, keys: Keys
) -> None:
    deployment = shop.deployment
    async with invoicing_deployed(database, keys, deployment.redis_url) as world:
        acme = world.tenant("acme")
        await acme.plan("plan", base_fee=2000)
        await acme.start_clock("2023-11-01")
        await acme.customer("ada")
        await acme.subscribe("sub", "ada", "plan", "2023-11-01")
        await acme.advance("2023-12-01")
        await world.bill()
        [invoice] = await acme.invoices()

        async def status() -> tuple[str, Money]:
            [found] = await acme.invoices()
            return Status.Name(found.payment_status), Money(found.amount_paid.minor_units, "USD")

        await shop.bill(invoice.id, invoice.total.minor_units)
        await shop.sweeps.report()
        assert (await unreported(deployment), await status()) == (1, ("PAYMENT_STATUS_PENDING", Money(0, "USD")))

        reporter = await deployment.another_worker(invoicing_target=f"127.0.0.1:{world.invoicing_port}")
        shop.later()
        await reporter.report()
        assert (await unreported(deployment), await status()) == (0, ("PAYMENT_STATUS_FAILED", Money(0, "USD")))

        await shop.save("pm_card_authenticationRequired")
        await shop.sweeps.charge()
        await reporter.report()
        assert await status() == ("PAYMENT_STATUS_REQUIRES_ACTION", Money(0, "USD"))

        await shop.save()
        [payment] = (await shop.payments.ListPayments(pb.ListPaymentsRequest(invoice_id=invoice.id))).payments
        await shop.retry(payment.id)
        await shop.sweeps.charge()
        await reporter.report()
        assert await status() == ("PAYMENT_STATUS_SUCCEEDED", Money(2000, "USD"))
        assert await unreported(deployment) == 0


async def test_a_report_that_invoicing_refuses_is_kept(shop: Shop, database: Database, keys: Keys) -> None:
    async with invoicing_deployed(database, keys, shop.deployment.redis_url) as world:
        reporter = await shop.deployment.another_worker(invoicing_target=f"127.0.0.1:{world.invoicing_port}")
        await shop.bill("inv_of_nobody")
        await reporter.report()
    assert await unreported(shop.deployment) == 1
