"""What is sold, and what it costs."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from libs.common.money import Money
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.package import PackagePrice
from services.pricing.domain.standard import StandardPrice

Price: TypeAlias = StandardPrice | GraduatedPrice | PackagePrice
"""One dataclass for each charge model."""

BASE_FEE_CODE = "base"
"""The code of the base fee's invoice line, which no charge may have."""


class BillingInterval(StrEnum):
    MONTHLY = "monthly"


@dataclass(frozen=True, slots=True)
class Charge:
    """The price of one meter's usage. `name` may be empty: invoices then show the code."""

    code: str
    name: str
    meter_code: str
    price: Price


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """What a plan costs, as it was at one time. Never changed once made.

    `base_fee`, None if there is none, and every price are in `currency`; charge codes and tax codes are unique.
    """

    plan_code: str
    version: int
    currency: str
    billing_interval: BillingInterval
    base_fee: Money | None
    charges: tuple[Charge, ...]
    tax_codes: tuple[str, ...]
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """Something that is sold, and the newest of its versions."""

    code: str
    name: str
    description: str
    latest_version: PlanVersion
    create_time: datetime
