"""Processor accounts, and the secrecy of their credentials."""

import logging

import pytest
from cryptography.fernet import Fernet

from libs.common.errors import Conflict, InvalidArgument, NotFound, PermissionDenied
from libs.common.settings import SettingsError
from services.payments.main import Settings, running
from services.payments.vault import Vault
from tests.payments.shop import Deployment, Shop, new_request_id
from weir.payments.v1 import payments_pb2 as pb

SECRET_KEY = "sk_test_a_secret_that_nobody_may_read"
WEBHOOK_SECRET = "whsec_a_secret_that_nobody_may_read"


def request_of(account_id: str = "stripe", secret_key: str = SECRET_KEY) -> pb.CreateProcessorAccountRequest:
    return pb.CreateProcessorAccountRequest(
        request_id=new_request_id(),
        processor_account=pb.ProcessorAccount(id=account_id, processor=pb.PROCESSOR_STRIPE),
        stripe=pb.StripeCredentials(secret_key=secret_key, webhook_secret=WEBHOOK_SECRET),
    )


async def test_an_account_is_answered_without_its_credentials(deployment: Deployment) -> None:
    payments = deployment.client()
    made = (await payments.CreateProcessorAccount(request_of())).processor_account
    assert made.webhook_path == "/webhooks/acme/stripe"
    found = (await payments.GetProcessorAccount(pb.GetProcessorAccountRequest(id="stripe"))).processor_account
    assert found == made
    assert b"secret" not in found.SerializeToString()


async def test_credentials_are_encrypted_in_the_table(deployment: Deployment) -> None:
    await deployment.client().CreateProcessorAccount(request_of())
    [row] = await deployment.rows("SELECT * FROM processor_account")
    assert not any(SECRET_KEY in str(value) or SECRET_KEY.encode() in bytes(str(value), "utf8") for value in row)
    sealed = row["credentials"]
    assert SECRET_KEY.encode() not in sealed
    assert Vault(deployment.encryption_key).unseal(sealed)["secret_key"] == SECRET_KEY


async def test_secrets_are_in_no_log_error_or_answer(
    deployment: Deployment, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The processor rejects the key and would repeat its last characters; a malformed one is not repeated by us."""
    caplog.set_level(logging.DEBUG)
    payments = deployment.client()
    secret = SECRET_KEY.replace("sk_test_", "sk_live_")
    await payments.CreateProcessorAccount(request_of(secret_key=secret))
    told = []
    for call in (
        payments.CreateProcessorAccount(request_of("malformed", "a key: " + secret)),
        payments.CreateProcessorAccount(request_of(secret_key=secret)),
        Shop(deployment).save(),
    ):
        with pytest.raises(Exception) as refused:  # noqa: PT011 each in its own way
            await call
        told.append(repr(refused.value) + str(refused.value.__dict__))
    methods = await payments.ListPaymentMethods(pb.ListPaymentMethodsRequest(customer_id="ada"))
    everything = "".join(told) + str(methods) + "".join(capfd.readouterr()) + caplog.text
    assert "nobody_may_read" not in everything
    assert "PAYMENT_METHOD_REFUSED" in everything
    assert deployment.encryption_key not in everything


async def test_keys_are_rotated_by_putting_a_new_one_first(deployment: Deployment) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    sealed = Vault(old).seal({"secret_key": SECRET_KEY})
    assert Vault(f"{new},{old}").unseal(sealed) == {"secret_key": SECRET_KEY}
    assert Vault(new).unseal(Vault(f"{new}, {old}").seal({"a": "b"})) == {"a": "b"}


async def test_a_malformed_encryption_key_stops_the_start_and_is_not_shown(deployment: Deployment) -> None:
    settings = Settings(dsn="", redis_url="", public_keys="", encryption_key="a-key-of-ours")
    with pytest.raises(SettingsError, match="WEIR_PAYMENTS_ENCRYPTION_KEY") as refused:
        async with running(settings, deployment.clock):
            pass
    assert "a-key-of-ours" not in str(refused.value)


async def test_a_repeated_request_answers_with_the_same_account(deployment: Deployment) -> None:
    payments = deployment.client()
    request = request_of()
    first = await payments.CreateProcessorAccount(request)
    assert await payments.CreateProcessorAccount(request) == first
    other = request_of("other")
    other.request_id = request.request_id
    with pytest.raises(Conflict, match="REQUEST_ID_REUSED"):
        await payments.CreateProcessorAccount(other)
    with pytest.raises(Conflict, match="PROCESSOR_ACCOUNT_EXISTS"):
        await payments.CreateProcessorAccount(request_of())


async def test_accounts_are_listed_by_id_and_only_to_their_tenant(deployment: Deployment) -> None:
    payments, other = deployment.client(), deployment.client("other")
    for account_id in ("zwei", "drei", "eins"):
        await payments.CreateProcessorAccount(request_of(account_id))
    page = await payments.ListProcessorAccounts(pb.ListProcessorAccountsRequest(page_size=2))
    assert [account.id for account in page.processor_accounts] == ["drei", "eins"]
    rest = await payments.ListProcessorAccounts(pb.ListProcessorAccountsRequest(page_token=page.next_page_token))
    assert [account.id for account in rest.processor_accounts] == ["zwei"]
    assert not rest.next_page_token
    assert (await other.ListProcessorAccounts(pb.ListProcessorAccountsRequest())).processor_accounts == []
    with pytest.raises(NotFound, match="PROCESSOR_ACCOUNT_NOT_FOUND"):
        await other.GetProcessorAccount(pb.GetProcessorAccountRequest(id="eins"))


async def test_a_wrong_field_is_named(deployment: Deployment) -> None:
    stripe, unknown = pb.PROCESSOR_STRIPE, pb.PROCESSOR_UNSPECIFIED
    keys = pb.StripeCredentials(secret_key=SECRET_KEY, webhook_secret=WEBHOOK_SECRET)
    published = pb.StripeCredentials(secret_key="pk_test_1", webhook_secret=WEBHOOK_SECRET)
    without = pb.StripeCredentials(secret_key=SECRET_KEY)
    wrong = {
        "processor_account": (None, keys),
        "processor_account.id": (pb.ProcessorAccount(id="Stripe", processor=stripe), keys),
        "processor_account.processor": (pb.ProcessorAccount(id="stripe", processor=unknown), keys),
        "stripe": (pb.ProcessorAccount(id="stripe", processor=stripe), None),
        "stripe.secret_key": (pb.ProcessorAccount(id="stripe", processor=stripe), published),
        "stripe.webhook_secret": (pb.ProcessorAccount(id="stripe", processor=stripe), without),
    }
    payments = deployment.client()
    for field, (account, credentials) in wrong.items():
        request_id = new_request_id()
        with pytest.raises(InvalidArgument) as refused:
            await payments.CreateProcessorAccount(
                pb.CreateProcessorAccountRequest(request_id=request_id, processor_account=account, stripe=credentials)
            )
        assert refused.value.field == field


async def test_each_method_wants_its_scope(deployment: Deployment) -> None:
    with pytest.raises(PermissionDenied, match="SCOPE_MISSING"):
        await deployment.client("acme", "payments:read").CreateProcessorAccount(request_of())
    with pytest.raises(PermissionDenied, match="SCOPE_MISSING"):
        await deployment.client("acme").CreatePayment(pb.CreatePaymentRequest())
