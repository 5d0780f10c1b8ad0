"""Which characters the shipped fonts draw: a PDF/A refuses text with others."""

import re
from functools import cache
from importlib.resources import files

REPLACEMENT = "□"


def drawable(text: str) -> str:
    """`text` with a box for each character that no font has."""
    return _undrawable().sub(REPLACEMENT, text)


@cache
def _undrawable() -> re.Pattern[str]:
    text = (files(__package__) / "fonts" / "coverage.txt").read_text("ascii")
    ranges = (each.split("-") for each in text.split())
    return re.compile("[^" + "".join(f"\\U{first:0>8}-\\U{last:0>8}" for first, last in ranges) + "]")
