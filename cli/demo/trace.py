"""A trace of LLM requests as the demo's events.

Row i belongs to customer-{i mod 3} and has the transaction_id row-{i}. One broken row spoils the trace: the demo's
figures are only worth something if they are about all of it.
"""

import re
from collections.abc import Iterable

from cli.errors import CliError, WrongUsage
from cli.events.mapping import CsvEvents, CsvMapping
from cli.events.rows import BadRow, Row

CUSTOMERS = ("customer-0", "customer-1", "customer-2")
TOKENS = {"input_tokens": "ContextTokens", "output_tokens": "GeneratedTokens"}
MAPPING = CsvMapping(
    transaction_id="row-{row}",
    subscription_id=f"customer-{{row%{len(CUSTOMERS)}}}",
    code="llm_request",
    timestamp="{TIMESTAMP}",
    properties={name: f"{{{column}}}" for name, column in TOKENS.items()},
)
"""A customer's one subscription has the customer's name."""

_WHOLE = re.compile(r"[0-9]{1,20}", re.ASCII)


def read_trace(lines: Iterable[bytes], name: str) -> list[Row]:
    """Raises CliError naming the first broken row, by line and column, and how many more there are."""
    rows: list[Row] = []
    broken: list[BadRow] = []
    try:
        events = CsvEvents(lines, MAPPING)
    except WrongUsage as error:
        raise CliError(f"{name}: line 1: {error}") from None
    for each in events:
        bad = each if isinstance(each, BadRow) else _bad_tokens(each)
        if bad is not None:
            broken.append(bad)
        elif isinstance(each, Row):
            rows.append(each)
    if broken:
        more = f" (and {len(broken) - 1} more broken rows)" if len(broken) > 1 else ""
        raise CliError(f"{name}: {broken[0]}{more}")
    return rows


def _bad_tokens(row: Row) -> BadRow | None:
    for name, column in TOKENS.items():
        value = row.event.properties[name]
        if not _WHOLE.fullmatch(value):
            return BadRow(row.place, column, "DECIMAL_MALFORMED", f"{value[:64]!r} is not a number of tokens")
    return None
