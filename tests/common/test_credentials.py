from datetime import UTC, datetime, timedelta

import jwt
import pytest

from libs.common.credentials import (
    ALL_SCOPES,
    Issuer,
    Verifier,
    generate_private_key,
    load_private_key,
    load_public_keys,
    public_pem,
)
from libs.common.errors import Unauthenticated


class MovingClock:
    def __init__(self) -> None:
        self.now = datetime(2023, 11, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
def pem() -> str:
    return generate_private_key()


@pytest.fixture
def issuer(pem: str, clock: MovingClock) -> Issuer:
    return Issuer(load_private_key(pem), clock)


@pytest.fixture
def verifier(pem: str, clock: MovingClock) -> Verifier:
    return Verifier(load_public_keys(public_pem(pem)), clock)


def reason(verifier: Verifier, api_key: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        verifier.caller(api_key)
    return refused.value.reason


def test_a_key_says_which_tenant_calls_and_what_it_may_do(issuer: Issuer, verifier: Verifier) -> None:
    key = issuer.api_key("acme", ["usage:read", "events:write"], live=False)
    caller = verifier.caller(key)
    assert key.startswith("weir_test_")
    assert (caller.tenant_id, caller.live) == ("acme", False)
    assert caller.scopes == {"usage:read", "events:write"}
    assert caller.key_id != verifier.caller(issuer.api_key("acme", [], live=False)).key_id


def test_a_key_ends_with_its_lifetime(issuer: Issuer, verifier: Verifier, clock: MovingClock) -> None:
    key = issuer.api_key("acme", ALL_SCOPES, live=True, lifetime=timedelta(minutes=1))
    clock.now += timedelta(seconds=59)
    assert verifier.caller(key).live
    clock.now += timedelta(seconds=1)
    assert reason(verifier, key) == "CREDENTIAL_EXPIRED"


def test_a_key_that_another_deployment_signed_is_refused(verifier: Verifier, clock: MovingClock) -> None:
    stranger = Issuer(load_private_key(generate_private_key()), clock)
    assert reason(verifier, stranger.api_key("acme", ALL_SCOPES, live=True)) == "CREDENTIAL_INVALID"


def test_a_key_whose_tenant_was_changed_is_refused(issuer: Issuer, verifier: Verifier) -> None:
    mine, theirs = (issuer.api_key(tenant, ALL_SCOPES, live=True).split(".") for tenant in ("acme", "rival"))
    assert reason(verifier, ".".join((mine[0], theirs[1], mine[2]))) == "CREDENTIAL_INVALID"


def test_a_key_that_claims_a_weaker_signature_is_refused(verifier: Verifier) -> None:
    claims = {"sub": "acme", "scope": "billing:write", "live": True, "jti": "1"}
    unsigned = jwt.encode(claims, "", algorithm="none")
    shared_secret = jwt.encode(claims, "x" * 32, algorithm="HS256")
    for token in (unsigned, shared_secret):
        assert reason(verifier, f"weir_live_{token}") == "CREDENTIAL_INVALID"


@pytest.mark.parametrize("key", ["", "weir_live_", "weir_live_a.b.c", "sk_live_123", "weir_live_é"])
def test_what_is_no_key_is_refused(verifier: Verifier, key: str) -> None:
    assert reason(verifier, key) == "CREDENTIAL_INVALID"


def test_a_signed_key_that_does_not_say_everything_is_refused(pem: str, verifier: Verifier) -> None:
    token = jwt.encode({"sub": "acme"}, load_private_key(pem), algorithm="EdDSA")
    assert reason(verifier, f"weir_live_{token}") == "CREDENTIAL_INVALID"


def test_keys_of_two_signers_are_accepted_while_one_takes_over_from_the_other(clock: MovingClock) -> None:
    pems = [generate_private_key(), generate_private_key()]
    verifier = Verifier(load_public_keys("".join(map(public_pem, pems))), clock)
    for pem in pems:
        key = Issuer(load_private_key(pem), clock).api_key("acme", [], live=True)
        assert verifier.caller(key).tenant_id == "acme"


def test_a_service_calls_its_peers_with_a_short_lived_key_for_one_tenant(
    issuer: Issuer, verifier: Verifier, clock: MovingClock
) -> None:
    first = issuer.internal_key("acme")
    caller = verifier.caller(first)
    assert (caller.tenant_id, caller.scopes) == ("acme", ALL_SCOPES | {"internal"})
    assert issuer.internal_key("acme") == first
    assert verifier.caller(issuer.internal_key("rival")).tenant_id == "rival"
    clock.now += timedelta(minutes=5)
    second = issuer.internal_key("acme")
    assert second != first
    clock.now += timedelta(minutes=5)
    assert reason(verifier, first) == "CREDENTIAL_EXPIRED"
    assert verifier.caller(second).tenant_id == "acme"


@pytest.mark.parametrize("tenant_id", ["", "Acme", "a b", "1a", "a" * 64])
def test_a_key_is_issued_to_a_tenant_id_only(issuer: Issuer, tenant_id: str) -> None:
    with pytest.raises(ValueError, match="tenant id"):
        issuer.api_key(tenant_id, [], live=True)


def test_keys_that_are_not_ed25519_are_refused_at_start(pem: str) -> None:
    with pytest.raises(ValueError, match="Ed25519"):
        load_public_keys(pem)
    with pytest.raises(ValueError, match="Ed25519"):
        load_public_keys("")
