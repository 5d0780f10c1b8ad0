"""`python -m bench.books [--json] [--parts PART ...]`: what the books take. Each part is a module of its own.

- `bench.ledgering`: ledger_postings_per_s, ledger_invoice_us, ledger_balance_ms.
- `bench.rendering`: pdf_per_s.
- `bench.exporting`: export_rows_per_s beside export_limit_rows_per_s, export_client_growth_mb, export_server_rss_mb.
- `bench.playing`: scenario_12_months_s, scenarios_per_s.
"""

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable

from bench import exporting, ledgering, playing, rendering
from libs.common import logs

PARTS: dict[str, Callable[[], Awaitable[dict[str, float]]]] = {
    "ledger": ledgering.measure,
    "documents": rendering.measure,
    "exports": exporting.measure,
    "scenarios": playing.measure,
}


async def measure(names: list[str]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name in names:
        figures |= await PARTS[name]()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help="only these")
    arguments = parser.parse_args()
    logs.configure("bench.books")  # to standard error: standard output is the figures alone
    figures = asyncio.run(measure(arguments.parts))
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value:>10,}")


if __name__ == "__main__":
    main()
