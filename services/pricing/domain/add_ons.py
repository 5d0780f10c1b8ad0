"""What is sold by the piece."""

from dataclasses import dataclass
from datetime import datetime

from libs.common.money import Money


@dataclass(frozen=True, slots=True)
class AddOn:
    """`amount` is what one costs on a one-off invoice, and contains its taxes if it is `tax_inclusive`; taxes, if any,
    are its own instead of the plan's.
    """

    code: str
    name: str
    description: str
    amount: Money
    tax_codes: tuple[str, ...]
    create_time: datetime
    tax_inclusive: bool = False
