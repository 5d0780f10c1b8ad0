"""Tenant credentials: an API key is a signed statement of one tenant, its scopes and whether it is live.

A key is `weir_live_` or `weir_test_` followed by a JSON Web Token signed with Ed25519 (EdDSA, RFC 8037). Every service
holds the public keys and verifies alone; only those that issue hold the private key. Between services, the caller
issues itself a short-lived key for the tenant it works for, so every credential belongs to exactly one tenant.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from libs.common.clock import Clock
from libs.common.errors import Unauthenticated

ALL_SCOPES = frozenset(
    {"events:write", "usage:read", "catalog:read", "catalog:write", "billing:read", "billing:write"}
    | {"payments:read", "payments:write"}
)
"""What a tenant may give to its keys. The scope "internal" is only ever in keys that services issue to themselves."""

TENANT_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_PREFIX = re.compile(r"weir_(live|test)_")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling: one tenant, what it may do, whether its money is real, and which key it used."""

    tenant_id: str
    scopes: frozenset[str]
    live: bool
    key_id: str


class Verifier:
    """Turns an API key into its Caller, without asking anybody. Accepts every one of `public_keys` (rotation)."""

    def __init__(self, public_keys: Sequence[Ed25519PublicKey], clock: Clock) -> None:
        self._public_keys = public_keys
        self._clock = clock
        self._verified = lru_cache(maxsize=4096)(self._verify)

    def caller(self, api_key: str) -> Caller:
        """Raises Unauthenticated CREDENTIAL_INVALID or CREDENTIAL_EXPIRED."""
        caller, expire_time = self._verified(api_key)
        if expire_time is not None and self._clock().timestamp() >= expire_time:
            raise Unauthenticated("CREDENTIAL_EXPIRED", "the API key has expired")
        return caller

    def _verify(self, api_key: str) -> tuple[Caller, float | None]:
        prefix = _PREFIX.match(api_key)
        for public_key in self._public_keys if prefix else ():
            try:
                claims = jwt.decode(
                    api_key[prefix.end() :] if prefix else "",
                    public_key,
                    algorithms=["EdDSA"],
                    options={"require": ["sub", "scope", "live", "jti"], "verify_exp": False, "verify_iat": False},
                )
            except jwt.InvalidTokenError:
                continue
            caller = Caller(claims["sub"], frozenset(claims["scope"].split()), bool(claims["live"]), claims["jti"])
            return caller, claims.get("exp")
        raise Unauthenticated("CREDENTIAL_INVALID", "the API key is not one that this deployment has issued")


class Issuer:
    """Issues API keys with `private_key`."""

    def __init__(self, private_key: Ed25519PrivateKey, clock: Clock) -> None:
        self._private_key = private_key
        self._clock = clock
        self._internal: dict[str, tuple[str, datetime]] = {}

    def api_key(self, tenant_id: str, scopes: Iterable[str], *, live: bool, lifetime: timedelta | None = None) -> str:
        """A key for `tenant_id`; without `lifetime` it is valid until its signing key is retired."""
        if not TENANT_ID.fullmatch(tenant_id):
            raise ValueError(f"{tenant_id!r} is not a tenant id: a letter, then up to 62 of a-z, 0-9, '_' and '-'")
        claims: dict[str, object] = {
            "sub": tenant_id,
            "scope": " ".join(sorted(scopes)),
            "live": live,
            "iat": int(self._clock().timestamp()),
            "jti": secrets.token_hex(8),
        }
        if lifetime is not None:
            claims["exp"] = int((self._clock() + lifetime).timestamp())
        return f"weir_{'live' if live else 'test'}_" + jwt.encode(claims, self._private_key, algorithm="EdDSA")

    def internal_key(self, tenant_id: str) -> str:
        """A key with every scope and "internal" for a call to a peer; issued afresh well before it expires."""
        now = self._clock()
        key, renew_time = self._internal.get(tenant_id, ("", now))
        if now >= renew_time:
            key = self.api_key(tenant_id, ALL_SCOPES | {"internal"}, live=True, lifetime=timedelta(minutes=10))
            self._internal[tenant_id] = key, now + timedelta(minutes=5)
        return key


def generate_private_key() -> str:
    """A new signing key, PEM."""
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def public_pem(private_pem: str) -> str:
    """The public half of a signing key, PEM."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return load_private_key(private_pem).public_key().public_bytes(encoding, form).decode()


def load_private_key(pem: str) -> Ed25519PrivateKey:
    """Raises ValueError when `pem` is no Ed25519 private key."""
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the signing key must be an Ed25519 private key")
    return key


def load_public_keys(pems: str) -> list[Ed25519PublicKey]:
    """One or more PEM public keys, one after the other. Raises ValueError when one is not Ed25519, or there is none."""
    blocks = re.findall(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", pems, re.DOTALL)
    keys = [serialization.load_pem_public_key(block.encode()) for block in blocks]
    ed25519 = [key for key in keys if isinstance(key, Ed25519PublicKey)]
    if not ed25519 or len(ed25519) != len(keys):
        raise ValueError("expected Ed25519 public keys in PEM")
    return ed25519
