"""Credentials at rest, in envelopes: a data key of its own encrypts each account's, and the first key of the deployment
wraps that one.

Any of the deployment's keys opens an envelope, so they can be rotated. What an older key wraps is wrapped anew by
`rewrapped`, without a look at what is in it; after that the old key can go.
"""

import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

_SEPARATOR = b"."
"""In no Fernet token."""


class Vault:
    """`keys` are Fernet keys separated by commas, first the one that wraps. Raises ValueError when one is not."""

    def __init__(self, keys: str) -> None:
        fernets = [Fernet(key.strip()) for key in keys.split(",")]
        self._first, self._keys = fernets[0], MultiFernet(fernets)

    def seal(self, credentials: Mapping[str, str]) -> bytes:
        data_key = Fernet.generate_key()
        letter = Fernet(data_key).encrypt(json.dumps(dict(credentials)).encode())
        return self._first.encrypt(data_key) + _SEPARATOR + letter

    def unseal(self, sealed: bytes) -> dict[str, str]:
        """Raises cryptography's InvalidToken when none of the keys made it."""
        wrapped, _, letter = sealed.partition(_SEPARATOR)
        credentials: dict[str, str] = json.loads(Fernet(self._keys.decrypt(wrapped)).decrypt(letter))
        return credentials

    def rewrapped(self, sealed: bytes) -> bytes | None:
        """The envelope wrapped by the first key; None if it is. Raises InvalidToken when none of the keys made it."""
        wrapped, _, letter = sealed.partition(_SEPARATOR)
        try:
            self._first.decrypt(wrapped)
        except InvalidToken:
            return self._keys.rotate(wrapped) + _SEPARATOR + letter
        return None
