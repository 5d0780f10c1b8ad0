"""Which payments a rule or a policy is for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a payment: ISO codes, and the customer's segment; "" where invoicing knew none.

    `minor_units` is what is due, of `currency`.
    """

    currency: str
    minor_units: int
    country_code: str = ""
    segment: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """All of these; what is empty or None holds for every payment. Amounts are in minor units, both ends included, and
    come with one currency.
    """

    currencies: tuple[str, ...] = ()
    country_codes: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None


def mismatch(condition: Condition, facts: Facts) -> str:
    """Why `facts` do not meet the condition; "" when they do."""
    listed = (
        ("currency", facts.currency, condition.currencies),
        ("country", facts.country_code, condition.country_codes),
        ("segment", facts.segment, condition.segments),
    )
    for name, value, wanted in listed:
        if wanted and value not in wanted:
            return f"{name} is {value or 'not known'}, not {' or '.join(wanted)}"
    if condition.least is not None and facts.minor_units < condition.least:
        return f"amount is {facts.minor_units}, less than {condition.least}"
    if condition.most is not None and facts.minor_units > condition.most:
        return f"amount is {facts.minor_units}, more than {condition.most}"
    return ""
