"""Expected figures against observed ones."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

from tests.reference.cases import Unsupported

COMPARE = "_compare"
ROUNDINGS = {"round_half_up": ROUND_HALF_UP, "ceil": ROUND_CEILING}
_DIGITS = Context(prec=160)


def differences(expected: Any, observed: Any, path: str = "expect") -> list[str]:
    """What differs, in sentences. Numbers compare as decimals, "1.0" like 1; `X_compare` says how to round the observed
    X first. Only what is expected is looked at. Raises Unsupported for what cannot be observed.
    """
    if isinstance(expected, Mapping) and isinstance(observed, Mapping):
        return [
            difference
            for key, value in expected.items()
            if not key.endswith(COMPARE)
            for difference in _of_key(key, value, expected.get(key + COMPARE), observed, path)
        ]
    if isinstance(expected, list) and isinstance(observed, list):
        if len(expected) != len(observed):
            return [f"{path} has {len(observed)} entries, expected {len(expected)}"]
        pairs = enumerate(zip(expected, observed, strict=True))
        return [each for index, (one, other) in pairs for each in differences(one, other, f"{path}[{index}]")]
    return [] if _comparable(expected) == _comparable(observed) else [f"{path} is {observed}, expected {expected}"]


def _of_key(key: str, expected: Any, compare: Any, observed: Mapping[str, Any], path: str) -> list[str]:
    if key not in observed:
        raise Unsupported(f"{path}.{key}")
    value = observed[key] if compare is None else _rounded(observed[key], compare, f"{path}.{key}{COMPARE}")
    return differences(expected, value, f"{path}.{key}")


def _rounded(value: Any, compare: Mapping[str, int], path: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(each, compare, path) for key, each in value.items()}
    [(rounding, digits)] = compare.items()
    if rounding not in ROUNDINGS:
        raise Unsupported(f"{path}.{rounding}")
    return Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUNDINGS[rounding], _DIGITS)


def _comparable(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return value
