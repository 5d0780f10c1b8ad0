"""Configuration and a record in, an event or a refusal out."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metering.connectors.mapping import CLOUDEVENTS, MappedEvent, mapping_in
from services.metering.connectors.records import Record, Refusal, Refused

MICROS = 1_700_158_623_979_960
AT = "2023-11-16T18:17:03.979960Z"
FLAT = {"transaction_id": "id", "subscription_id": "account", "code": "type", "timestamp": "at"}


def mapped(body: bytes | dict[str, Any], mapping: Any = FLAT, position: str = "p", **metadata: str) -> MappedEvent:
    return mapping_in(mapping).event(Record(position, body, metadata))


def refused(body: bytes | dict[str, Any], mapping: Any = FLAT) -> Refusal:
    with pytest.raises(Refused) as caught:
        mapped(body, mapping)
    return caught.value.refusal


def row(**fields: Any) -> dict[str, Any]:
    return {"id": "t-1", "account": "sub-1", "type": "llm", "at": AT, **fields}


def test_fields_come_from_where_the_mapping_says() -> None:
    body = b"""{"meta": {"id": 7, "tags": ["a", "b"]}, "account": {"id": "acme", "region": "eu"}, "at": 1700158623979,
        "usage": {"total": 12.50, "cached": true, "none": null}, "labels": {"app.io/name": "web"}}"""
    event = mapped(
        body,
        {
            "transaction_id": "meta.id",
            "subscription_id": {"template": "{account.id}-{account.region}"},
            "code": {"constant": "llm_request"},
            "timestamp": {"path": "at", "format": "unix_ms"},
            "properties": {
                "tokens": "usage.total",
                "cached": "usage.cached",
                "none": "usage.none",
                "missing": "usage.missing.deeper",
                "tag": "meta.tags.1",
                "beyond": "meta.tags.2",
                "app": {"path": ["labels", "app.io/name"]},
                "kind": {"constant": "chat"},
            },
        },
    )
    properties = {"tokens": "12.50", "cached": "true", "tag": "b", "app": "web", "kind": "chat"}
    assert event == MappedEvent("7", "acme-eu", "llm_request", 1_700_158_623_979_000, properties)


@pytest.mark.parametrize("number", ["0.1", "1.10", "1e-07", "-0", "123456789012345678901234567890.000000000001"])
def test_a_number_stays_as_it_is_written(number: str) -> None:
    body = f'{{"id": "t", "account": "s", "type": "c", "at": "{AT}", "tokens": {number}}}'.encode()
    assert mapped(body, FLAT | {"properties": {"tokens": "tokens"}}).properties == {"tokens": number}


def test_every_member_that_nothing_else_reads_becomes_a_property() -> None:
    body = row(model="m", usage={"in": "1", "out": {"text": "2"}, "steps": ["3", {"x": "4"}]}, none=None)
    assert mapped(body, FLAT | {"properties": {"output": "usage.out.text", "*": "*"}}).properties == {
        "model": "m",
        "usage.in": "1",
        "usage.steps.0": "3",
        "usage.steps.1.x": "4",
        "output": "2",
    }


def test_a_mapping_may_read_what_stands_beside_the_record() -> None:
    mapping = FLAT | {
        "transaction_id": "@position",
        "subscription_id": "@key",
        "timestamp": {"path": "@timestamp", "format": "unix_ms"},
    }
    event = mapped({"type": "llm"}, mapping, "usage/0/17", key="sub-9", timestamp="1700158623979")
    assert event == MappedEvent("usage/0/17", "sub-9", "llm", 1_700_158_623_979_000, {})


@pytest.mark.parametrize(
    ("form", "text", "micros"),
    [
        ("rfc3339", AT, MICROS),
        ("rfc3339", "2023-11-16t20:17:03.979960999+02:00", MICROS),
        ("rfc3339", "2023-11-16 18:17:03z", MICROS // 1_000_000 * 1_000_000),
        ("unix_s", "1700158623.97996", MICROS),
        ("unix_s", "1700158623", MICROS // 1_000_000 * 1_000_000),
        ("unix_ms", "1700158623979.9609", MICROS),
        ("unix_us", "1700158623979960", MICROS),
        ("unix_us", "1700158623979960.9", MICROS),
        ("unix_s", "-1.5", -1_500_000),
    ],
)
def test_an_instant_is_read_to_the_microsecond(form: str, text: str, micros: int) -> None:
    assert mapped(row(at=text), FLAT | {"timestamp": {"path": "at", "format": form}}).micros == micros


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("rfc3339", "2023-11-16"),
        ("rfc3339", "2023-11-16T18:17:03"),
        ("rfc3339", "2023-11-31T18:17:03Z"),
        ("rfc3339", "2023-11-16T18:17:60Z"),
        ("rfc3339", "0000-01-01T00:00:00Z"),
        ("rfc3339", "٢٠٢٣-11-16T18:17:03Z"),
        ("rfc3339", "1700158623"),
        ("unix_s", AT),
        ("unix_s", "1.7e9"),
        ("unix_ms", "1" * 18),
        ("unix_us", "NaN"),
    ],
)
def test_what_is_no_instant_is_refused(form: str, text: str) -> None:
    refusal = refused(row(at=text), FLAT | {"timestamp": {"path": "at", "format": form}})
    assert (refusal.field, refusal.reason) == ("timestamp", "TIMESTAMP_MALFORMED")
    assert text[:64] in refusal.message


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        (b"", "", "RECORD_MALFORMED"),
        (b"{", "", "RECORD_MALFORMED"),
        (b"[]", "", "RECORD_MALFORMED"),
        (b'{"a": NaN}', "", "RECORD_MALFORMED"),
        (b"\xff", "", "RECORD_MALFORMED"),
        (b"[" * 100_000, "", "RECORD_MALFORMED"),
        (b"{}", "transaction_id", "FIELD_MISSING"),
        (row(id=None), "transaction_id", "FIELD_MISSING"),
        (row(account=""), "subscription_id", "FIELD_MISSING"),
        (row(account={}), "subscription_id", "VALUE_NOT_SCALAR"),
        (row(type="\ud800"), "code", "TEXT_MALFORMED"),
        (row(tokens=["1"]), "properties.tokens", "VALUE_NOT_SCALAR"),
    ],
)
def test_a_refusal_names_the_field(body: bytes | dict[str, Any], field: str, reason: str) -> None:
    refusal = refused(body, FLAT | {"properties": {"tokens": "tokens"}})
    assert (refusal.field, refusal.reason) == (field, reason)


def test_a_cloudevent_needs_no_mapping_of_its_own() -> None:
    body = f"""{{"specversion": "1.0", "source": "/api/eu", "id": "7f", "type": "llm", "subject": "sub-1",
        "time": "{AT}", "data": {{"tokens": 1.50, "model": {{"name": "m"}}}}}}""".encode()
    event = MappedEvent("/api/eu|7f", "sub-1", "llm", MICROS, {"tokens": "1.50", "model.name": "m"})
    assert mapped(body, "cloudevents") == event
    assert mapped(body, {"preset": "cloudevents", "transaction_id": "id"}).transaction_id == "7f"
    assert mapped(body, dict(CLOUDEVENTS)) == event


def test_two_cloudevents_are_one_only_if_source_and_id_are_both_equal() -> None:
    """Whatever is in them, as long as the source is a URI, which has no "|"."""
    pairs = [("a", "b|c"), ("a", "b/c"), ("a/b", "c"), ("a", "|b|c"), ("a/b", "|c")]
    mapping = mapping_in("cloudevents")
    body = {"type": "llm", "subject": "s", "time": AT}
    ids = [mapping.event(Record("", body | {"source": each[0], "id": each[1]})).transaction_id for each in pairs]
    assert len(set(ids)) == len(pairs)


@pytest.mark.parametrize(
    ("mapping", "complaint"),
    [
        ("other", "mapping.preset"),
        ([], "mapping must be"),
        ({}, "mapping.transaction_id"),
        (FLAT | {"properties": []}, "mapping.properties"),
        (FLAT | {"colour": "red"}, "mapping.colour"),
        (FLAT | {"code": {"constant": ["a"]}}, "mapping.code"),
        (FLAT | {"code": {"path": "a", "constant": "b"}}, "mapping.code"),
        (FLAT | {"code": {"template": "{a"}}, "mapping.code.template"),
        (FLAT | {"code": {"template": "{a!r}"}}, "mapping.code.template"),
        (FLAT | {"code": {"template": "{}"}}, "mapping.code.template"),
        (FLAT | {"timestamp": {"path": "at", "format": "unix"}}, "mapping.timestamp.format"),
        (FLAT | {"properties": {"*": "data"}}, r"mapping.properties.\*"),
    ],
)
def test_a_wrong_mapping_is_refused_by_name(mapping: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        mapping_in(mapping)


TEXT = st.text("a1.é\0\ud800", max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers().map(str) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["id", "account", "type", "at", "x"]), JSON))
def test_any_record_is_an_event_or_is_refused(body: dict[str, Any]) -> None:
    mapping = mapping_in(FLAT | {"timestamp": {"path": "at", "format": "unix_s"}, "properties": "*"})
    with suppress(Refused):
        event = mapping.event(Record("p", body))
        assert event.transaction_id
        assert all(name.encode() and text.encode() is not None for name, text in event.properties.items())
