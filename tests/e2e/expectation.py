"""What the demo must come to, computed by other means than the services': fractions, from the text of the trace."""

import csv
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

TIERS = ((1_000_000, "0.0000025"), (5_000_000, "0.000002"), (None, "0.0000015"))


@dataclass(frozen=True, slots=True)
class Expected:
    """Amounts are in cents."""

    requests: int
    input_tokens: int
    output_tokens: int

    @property
    def lines(self) -> dict[str, int]:
        """What was not used at all has no line."""
        packages = math.ceil(max(self.requests - 500, 0) / 1000)
        graduated, floor = Fraction(0), 0
        for up_to, price in TIERS:
            ceiling = self.input_tokens if up_to is None else min(self.input_tokens, up_to)
            graduated += max(ceiling - floor, 0) * Fraction(price)
            floor = max(floor, ceiling)
        charges = {
            "requests": (self.requests, packages * 100),
            "input_tokens": (self.input_tokens, _cents(graduated)),
            "output_tokens": (self.output_tokens, _cents(self.output_tokens * Fraction("0.00001"))),
        }
        return {"base": 2000} | {code: amount for code, (quantity, amount) in charges.items() if quantity}

    @property
    def tax(self) -> int:
        return _cents(Fraction(sum(self.lines.values()), 100) * Fraction("0.08875"))

    @property
    def total(self) -> int:
        return sum(self.lines.values()) + self.tax

    def require(self, customer: dict[str, Any]) -> None:
        """That a customer of `weir demo --json` is this one, and has paid."""
        assert [customer[name] for name in ("requests", "input_tokens", "output_tokens")] == [
            self.requests,
            self.input_tokens,
            self.output_tokens,
        ]
        invoice = customer["invoice"]
        assert [(line["code"], line["amount_minor"]) for line in invoice["lines"]] == list(self.lines.items())
        assert invoice["subtotal_minor"] == sum(self.lines.values())
        assert (invoice["tax_minor"], invoice["total_minor"]) == (self.tax, self.total)
        assert (invoice["currency"], invoice["status"], invoice["payment_status"]) == ("USD", "finalized", "succeeded")


def expected(trace: bytes, month: str = "2023-11") -> list[Expected]:
    """Of each of the three customers. Only rows of `month` count."""
    rows = list(csv.DictReader(trace.decode("utf-8-sig").splitlines()))
    return [_used([row for row in rows[customer::3] if row["TIMESTAMP"].startswith(month)]) for customer in range(3)]


def _used(rows: list[dict[str, str]]) -> Expected:
    return Expected(
        requests=len(rows),
        input_tokens=sum(int(row["ContextTokens"]) for row in rows),
        output_tokens=sum(int(row["GeneratedTokens"]) for row in rows),
    )


def _cents(dollars: Fraction) -> int:
    """Half away from zero; amounts here are not negative."""
    return math.floor(dollars * 100 + Fraction(1, 2))
