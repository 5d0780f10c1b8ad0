"""Every reason that a caller can meet is in docs/reference/errors.md, and every reason there can be met."""

import re

from tests.contracts.reasons import DOCUMENT, codes_given, documented, given, promised


def test_every_reason_that_code_gives_is_documented() -> None:
    assert sorted(given() - documented().keys()) == []


def test_every_documented_reason_is_given() -> None:
    assert sorted(documented().keys() - given()) == []


def test_every_reason_that_a_contract_names_is_given() -> None:
    assert sorted(promised() - given()) == []


def test_a_reason_is_documented_with_the_codes_that_carry_it() -> None:
    """Reasons of single events, in EventFailure, come in an answer that is OK."""
    known = documented()
    assert {reason: codes for reason, codes in codes_given().items() if not codes <= known[reason]} == {}


def test_the_document_is_in_order() -> None:
    tables = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)
    for table in tables:
        reasons = re.findall(r"^\| `([A-Z0-9_]+)` \|", table, re.MULTILINE)
        assert reasons == sorted(reasons)
    assert len(documented()) == len(re.findall(r"^\| `", DOCUMENT.read_text(), re.MULTILINE))
