"""Credentials at rest: encrypted with the first of the deployment's keys, readable with any of them (rotation)."""

import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, MultiFernet


class Vault:
    """`keys` are Fernet keys separated by commas, first the one that encrypts. Raises ValueError when one is not."""

    def __init__(self, keys: str) -> None:
        self._fernet = MultiFernet([Fernet(key.strip()) for key in keys.split(",")])

    def seal(self, credentials: Mapping[str, str]) -> bytes:
        return self._fernet.encrypt(json.dumps(dict(credentials)).encode())

    def unseal(self, sealed: bytes) -> dict[str, str]:
        """Raises cryptography's InvalidToken when none of the keys made it."""
        credentials: dict[str, str] = json.loads(self._fernet.decrypt(sealed))
        return credentials
