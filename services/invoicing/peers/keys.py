"""What a call to a peer is made with: a key of the tenant it is for."""

from dataclasses import dataclass

from libs.common.credentials import Issuer
from libs.common.rpc.client import credential


@dataclass(frozen=True, slots=True)
class Keys:
    issuer: Issuer

    def of(self, tenant_id: str) -> tuple[tuple[str, str], ...]:
        return credential(self.issuer.internal_key(tenant_id))
