"""The JSON Schema of scenarios follows the contract."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator

from cli.scenario.schema import PUBLISHED, text


def test_the_published_schema_is_that_of_the_contract() -> None:
    assert PUBLISHED.read_text() == text(Path(__file__).parents[2])
    Draft202012Validator.check_schema(json.loads(PUBLISHED.read_text()))
