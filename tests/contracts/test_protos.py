"""What every RPC of the contract has in common. Comments on every element are buf's to check, in `make check`."""

import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from libs.common.credentials import ALL_SCOPES
from tests.contracts.contract import enums, fields, methods
from weir.common.v1 import authorization_pb2

READS = (
    "Assign",
    "Get",
    "List",
    "Evaluate",
    "BatchFind",
    "BatchGet",
    "Query",
    "Explain",
    "Export",
    "Rate",
    "BatchRate",
    "Estimate",
    "Simulate",
    "Preview",
    "ReplayInvoice",
    "Stream",
)
REPEATABLE = {
    "BatchCreatePayments": "each payment has a request_id",
    "CancelPayment": "an older version changes nothing",
    "IngestEvents": "its events carry transaction_ids",
    "IngestEventStream": "its events carry transaction_ids",
    "RecordPayment": "an older revision changes nothing",
    "RecordDispute": "an older revision changes nothing",
    "RecordFinalAction": "a campaign ends once",
    "RecordRefund": "an older revision changes nothing",
    "DeleteNoticeEndpoint": "one that is deleted is not found",
    "RetryNoticeDelivery": "receivers know a notice by its id",
    "ClosePaymentPage": "one that has ended stays as it is",
    "DeleteAlert": "a deleted alert stays as it is",
    "RestoreMonth": "a month that is restored already is held for longer",
    "SetBilledUntil": "an earlier time changes nothing",
    "SetTestClock": "an earlier time changes nothing",
    "ReplayDeadLetters": "what is asked for already is left alone",
}
"""Mutations without a request_id: those that say why they need none, and updates, which set values."""

METHODS = methods()
UPDATES = [method for method in METHODS if method.name.startswith("Update")]
LISTS = [method for method in METHODS if method.name.startswith("List")]
MUTATIONS = [
    method for method in METHODS if not method.name.startswith((*READS, "Update")) and method.name not in REPEATABLE
]


def name_of(method: MethodDescriptor) -> str:
    return method.full_name.removeprefix("weir.")


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_a_method_declares_the_scope_it_requires(method: MethodDescriptor) -> None:
    assert method.GetOptions().Extensions[authorization_pb2.required_scope] in ALL_SCOPES | {"internal"}


@pytest.mark.parametrize("method", MUTATIONS, ids=name_of)
def test_a_mutation_takes_a_request_id(method: MethodDescriptor) -> None:
    field = method.input_type.fields_by_name.get("request_id")
    assert field is not None
    assert field.type == FieldDescriptor.TYPE_STRING


@pytest.mark.parametrize("method", UPDATES, ids=name_of)
def test_an_update_names_what_it_changes(method: MethodDescriptor) -> None:
    mask = method.input_type.fields_by_name["update_mask"].message_type
    assert mask is not None
    assert mask.full_name == "google.protobuf.FieldMask"


@pytest.mark.parametrize("method", LISTS, ids=name_of)
def test_a_list_is_read_in_pages(method: MethodDescriptor) -> None:
    assert {"page_size", "page_token"} <= set(method.input_type.fields_by_name)
    assert "next_page_token" in method.output_type.fields_by_name


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_a_method_has_a_request_and_a_response_of_its_own(method: MethodDescriptor) -> None:
    assert method.input_type.name == f"{method.name}Request"
    assert method.output_type.name == f"{method.name}Response"


def test_no_field_is_a_float() -> None:
    floats = {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE}
    assert [field.full_name for field in fields() if field.type in floats] == []


def test_a_timestamp_says_what_happens_then() -> None:
    """AIP-142: a verb, then _time. An event's own `timestamp` and a clock's `now` are the field's words for them."""
    named = [f for f in fields() if f.message_type and f.message_type.full_name == "google.protobuf.Timestamp"]
    assert [f.full_name for f in named if not f.name.endswith("_time") and f.name not in ("timestamp", "now")] == []


def test_enums_begin_with_unspecified() -> None:
    assert [e.full_name for e in enums() if not e.values_by_number[0].name.endswith("_UNSPECIFIED")] == []
