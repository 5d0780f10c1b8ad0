"""Which characters the shipped fonts draw: a PDF/A refuses text with others."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

REPLACEMENT = "□"


def drawable(shown: Any) -> Any:
    """Texts, or data of them, with a box for each character that no font has."""
    if isinstance(shown, str):
        return _undrawable().sub(REPLACEMENT, shown)
    if isinstance(shown, Mapping):
        return {key: drawable(value) for key, value in shown.items()}
    if isinstance(shown, list | tuple):
        return [drawable(each) for each in shown]
    return shown


@cache
def _undrawable() -> re.Pattern[str]:
    text = (files(__package__) / "fonts" / "coverage.txt").read_text("ascii")
    ranges = (each.split("-") for each in text.split())
    return re.compile("[^\n" + "".join(f"\\U{first:0>8}-\\U{last:0>8}" for first, last in ranges) + "]")
