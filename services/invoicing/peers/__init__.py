"""The services that invoicing calls: metering for usage, pricing for prices, payments for the money.

Each call carries a key of the tenant it is for. Raises the peers' errors, and Unavailable where one is away.
"""

from dataclasses import dataclass

from services.invoicing.peers.metering import Metering
from services.invoicing.peers.payments import Payments
from services.invoicing.peers.pricing import Pricing, Quantities

__all__ = ["Metering", "Payments", "Peers", "Pricing", "Quantities"]


@dataclass(frozen=True, slots=True)
class Peers:
    metering: Metering
    pricing: Pricing
    payments: Payments
