"""Who is billed."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who is billed. `time_zone` is an IANA name: where the customer's days and months begin.
    Lines that no plan, charge or request names taxes for bear `tax_codes`.
    """

    id: str
    name: str
    email: str
    time_zone: str
    create_time: datetime
    tax_codes: tuple[str, ...] = ()
