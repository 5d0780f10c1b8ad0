"""Keys of the deployment come and go; what they keep stays."""

import pytest
from cryptography.fernet import Fernet, InvalidToken
from structlog.testing import capture_logs

from libs.common.postgres import create_pool
from services.payments.rotation import rewrap
from services.payments.vault import Vault
from tests.payments.shop import Shop

SECRETS = {"secret_key": "sk_test_x", "webhook_secret": "whsec_x"}


def new_key() -> str:
    return Fernet.generate_key().decode()


def test_an_envelope_is_wrapped_anew_without_a_change_of_its_letter() -> None:
    old, new = new_key(), new_key()
    sealed = Vault(old).seal(SECRETS)
    rewrapped = Vault(f"{new},{old}").rewrapped(sealed)
    assert rewrapped is not None
    assert rewrapped.partition(b".")[2] == sealed.partition(b".")[2]
    assert Vault(new).unseal(rewrapped) == SECRETS
    assert Vault(f"{new},{old}").rewrapped(rewrapped) is None
    with pytest.raises(InvalidToken):
        Vault(old).unseal(rewrapped)
    with pytest.raises(InvalidToken):
        Vault(new).rewrapped(sealed)


def test_each_envelope_has_a_key_of_its_own_and_shows_nothing() -> None:
    vault = Vault(new_key())
    first, second = vault.seal(SECRETS), vault.seal(SECRETS)
    wrapped, letter = first.partition(b".")[0], second.partition(b".")[2]
    with pytest.raises(InvalidToken):
        vault.unseal(wrapped + b"." + letter)
    assert b"sk_test" not in first


async def test_a_worker_that_starts_with_a_new_key_frees_the_old_one(shop: Shop) -> None:
    deployment = shop.deployment
    new = new_key()
    await shop.save()
    await deployment.another_worker(encryption_key=f"{new},{deployment.encryption_key}")
    [row] = await deployment.rows("SELECT credentials FROM processor_account")
    assert Vault(new).unseal(row["credentials"])["secret_key"] == shop.secret_key
    worker = await deployment.another_worker(encryption_key=new)
    await shop.bill()
    await worker.charge()
    assert len(shop.charges()) == 1


async def test_what_no_key_opens_is_said_and_left(shop: Shop) -> None:
    async with await create_pool(shop.deployment.database.dsns["payments"]) as pool:
        with capture_logs() as logs:
            assert await rewrap(pool, Vault(new_key())) == 0
    assert [entry["event"] for entry in logs] == ["credentials that no key opens"]
