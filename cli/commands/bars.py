"""Bars in the terminal."""

from collections.abc import Sequence

from rich.bar import Bar
from rich.table import Table

BAR_WIDTH = 40


def bars(rows: Sequence[tuple[str, int, str]]) -> Table:
    """(label, length, what to say of it; the length, if that is nothing)."""
    longest = max((length for _, length, _ in rows), default=0)
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column()
    made.add_column(justify="right")
    made.add_column(width=BAR_WIDTH)
    for label, length, text in rows:
        made.add_row(label, text or f"{length:,}", Bar(max(longest, 1), 0, max(length, 0), width=BAR_WIDTH))
    return made
