"""What invoicing needs to know of a plan version. Pricing owns it."""

from dataclasses import dataclass

from libs.common.money import Money


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """`base_fee` is for a whole billing interval, None if there is none; `meters` are by charge code, in plan order."""

    plan_code: str
    version: int
    currency: str
    base_fee: Money | None
    meters: tuple[tuple[str, str], ...]
    tax_codes: tuple[str, ...]
