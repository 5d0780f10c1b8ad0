"""A command repeated is a command done once (law 7).

The row that a mutation creates keeps the caller's `request_id`, unique in the tenant and table, and the fingerprint of
the request. A repeat finds the row: the same fingerprint is answered from it, another one is refused.
"""

import hashlib

from google.protobuf.message import Message

from libs.common.errors import Conflict


def fingerprint(request: Message) -> bytes:
    """SHA-256 of the request, its request_id included; equal for equal requests within one release of the contract."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def require_same(recorded: bytes, request_hash: bytes, request_id: str) -> None:
    """Raises Conflict REQUEST_ID_REUSED when the row was made by a request with other contents."""
    if recorded != request_hash:
        raise Conflict(
            "REQUEST_ID_REUSED", f"request_id {request_id} was used with other contents", request_id=request_id
        )
