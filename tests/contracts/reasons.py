"""The reasons of errors: what code gives, what contracts name, and what docs/reference/errors.md lists."""

import ast
import re
from pathlib import Path

import grpc

from libs.common.errors import BillingError, ResourceExhausted, Unavailable
from libs.common.rpc.status import to_status
from tests.contracts.contract import enums, sources

ROOT = Path(__file__).parents[2]
CODE = (ROOT / "services", ROOT / "libs" / "common")
DOCUMENT = ROOT / "docs" / "reference" / "errors.md"

REASON = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| ([A-Za-z_, ]+) \| (.+) \|$", re.MULTILINE)


def _code(kind: type[BillingError]) -> str:
    delay = {"retry_after_ms": 1} if kind in (ResourceExhausted, Unavailable) else {}
    number = to_status(kind("REASON", "message", **delay)).code  # type: ignore[arg-type]
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


CODES_BY_KIND = {kind.__name__: _code(kind) for kind in BillingError.__subclasses__()}


def given() -> set[str]:
    """Every string in the code that has the form of a reason and is neither an enum's value nor a variable's name."""
    reasons: set[str] = set()
    for tree in _trees():
        values = {id(node) for each in ast.walk(tree) if _is_enum(each) for node in ast.walk(each)}
        reasons |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and REASON.fullmatch(node.value)
            and not node.value.startswith("WEIR_")
            and id(node) not in values
        }
    return reasons


def codes_given() -> dict[str, set[str]]:
    """For each reason that stands in the making of an error: the gRPC codes that carry it."""
    codes: dict[str, set[str]] = {}
    for tree in _trees():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in CODES_BY_KIND
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                codes.setdefault(str(node.args[0].value), set()).add(CODES_BY_KIND[node.func.id])
    return codes


def promised() -> set[str]:
    """Every reason that a comment of the contracts names."""
    comments = " ".join(line for line in sources().splitlines() if line.lstrip().startswith("//"))
    values = {value.name for enum in enums() for value in enum.values}
    return set(REASON.findall(comments)) - values - {code.name for code in grpc.StatusCode}


def documented() -> dict[str, set[str]]:
    """Each reason of the document, with the codes it says carry it."""
    return {reason: set(codes.split(", ")) for reason, codes, _ in ROW.findall(DOCUMENT.read_text())}


def _trees() -> list[ast.Module]:
    return [ast.parse(path.read_text()) for folder in CODE for path in sorted(folder.rglob("*.py"))]


def _is_enum(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any(isinstance(b, ast.Name) and b.id.endswith("Enum") for b in node.bases)
