"""Reading events off the wire: the hottest loop of the service, some six microseconds an event.

An event that is plainly fine passes one condition. Any other is looked at again, rule by rule, in `_violations`,
which alone decides.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import orjson

from libs.common.wire import DECIMAL
from services.metering.domain.computed import ComputationFailure, with_computed
from services.metering.domain.events import EventColumns, Reading, Refusal, content_hash, identity, micros_of
from services.metering.domain.expressions import Sample
from services.metering.domain.meters import OPERATION_PROPERTY, OPERATIONS, Computation, TenantCatalog, ValueRule, Watch
from weir.metering.v1 import metering_pb2

MAX_ID = 255
MAX_PROPERTIES = 64
MAX_PROPERTIES_BYTES = 8 * 1024
LEAD = timedelta(minutes=5)
"""How far a sender's clock may be ahead of ours, or of the tenant's."""

_A_DECIMAL = "a decimal in plain notation such as 0.0025, at most 38 digits, 12 of them after the point"
_OLDEST_MICROS = micros_of(datetime(2000, 1, 1, tzinfo=UTC))


def events_in(
    events: Sequence[metering_pb2.Event],
    catalog: TenantCatalog,
    now: datetime,
    columns: EventColumns,
    late: timedelta | None = None,
) -> Reading:
    """Add the valid ones of `events` to `columns`. Events may be `late` by so much; None sets no limit. Of a test clock
    and the server's, that counts by which an event is in time.
    """
    clocks = (now, catalog.test_now or now)
    newest = micros_of(max(clocks) + LEAD)
    oldest = max(_OLDEST_MICROS, micros_of(min(clocks) - late)) if late else _OLDEST_MICROS
    tenant_id, tenant_no, watches = catalog.tenant_id, catalog.tenant_no, catalog.watches
    first_row = len(columns.keys)
    refusals: list[Refusal] = []
    unnumbered: list[tuple[int, str, str]] = []
    for index, event in enumerate(events):
        transaction_id, subscription_id, code, stamp = (
            event.transaction_id, event.subscription_id, event.code, event.timestamp
        )  # fmt: skip
        nanos = stamp.nanos
        micros = stamp.seconds * 1_000_000 + nanos // 1000
        sent = event.properties
        properties = {name: sent[name] for name in sent}
        json = orjson.dumps(properties, option=orjson.OPT_SORT_KEYS)
        watch, amount, recorded = watches.get(code), event.amount, json
        if watch is not None and watch.eras:
            watch = watch.at(micros)
        if not (
            watch is not None
            and 0 < len(transaction_id) <= MAX_ID
            and 0 < len(subscription_id) <= MAX_ID
            and oldest <= micros <= newest
            and 0 <= nanos < 1_000_000_000
            and len(properties) <= MAX_PROPERTIES
            and len(json) <= MAX_PROPERTIES_BYTES
            and "\0" not in transaction_id
            and "\0" not in subscription_id
            and b"\\u0000" not in json
            and _has_values(watch.rules, properties)
            and (not amount or DECIMAL.fullmatch(amount))
        ):
            violation = next(_violations(event, properties, micros, (oldest, newest), watch), None)
            if violation is not None:
                refusals.append(Refusal(index, *violation))
                continue
        assert watch is not None
        if watch.computation is not None:
            violation, recorded = _computed(Sample(code, micros, properties), watch.computation)
            if violation is not None:
                refusals.append(Refusal(index, *violation))
                continue
        series_no = watch.series.get(subscription_id, 0)
        if not series_no:
            unnumbered.append((len(columns.keys), subscription_id, code))
        columns.keys.append(identity(tenant_id, subscription_id, transaction_id))
        columns.content_hashes.append(content_hash(code, micros, json, amount))
        columns.tenant_nos.append(tenant_no)
        columns.series_nos.append(series_no)
        columns.micros.append(micros)
        columns.transaction_ids.append(transaction_id)
        columns.properties.append(recorded.decode())
        columns.amounts.append(amount or None)
    refused = {refusal.index for refusal in refusals}
    indexes = [i for i in range(len(events)) if i not in refused] if refused else range(len(events))
    return Reading(first_row, indexes, refusals, unnumbered)


def _has_values(rules: Iterable[ValueRule], properties: Mapping[str, str]) -> bool:
    for rule in rules:
        value = properties.get(rule.property, "")
        if rule.is_id:
            if not value or properties.get(OPERATION_PROPERTY, "add") not in OPERATIONS:
                return False
        elif not ((value.isdecimal() and value.isascii() and len(value) <= 26) or DECIMAL.fullmatch(value)):
            return False
    return True


def _violations(
    event: metering_pb2.Event,
    properties: Mapping[str, str],
    micros: int,
    limits: tuple[int, int],
    watch: Watch | None,
) -> Iterator[tuple[str, str, str]]:
    """Field, reason and message of each rule of the contract that the event breaks."""
    for field, name in ("transaction_id", event.transaction_id), ("subscription_id", event.subscription_id):
        if not name:
            yield field, "FIELD_MISSING", f"{field} is required"
        if len(name) > MAX_ID:
            yield field, "FIELD_TOO_LONG", f"{field} has {len(name)} characters, {MAX_ID} at most"
        if "\0" in name:
            yield field, "TEXT_MALFORMED", f"{field} contains a NUL character"
    if not event.code:
        yield "code", "FIELD_MISSING", "code is required"
    if watch is None:
        yield "code", "METER_UNKNOWN", f"no meter watches events with the code {event.code[:64]!r}"
    yield from _timestamp_violations(event, micros, *limits)
    yield from _property_violations(properties)
    if event.amount and not DECIMAL.fullmatch(event.amount):
        yield "amount", "DECIMAL_MALFORMED", f"amount is {event.amount[:64]!r}; expected {_A_DECIMAL}"
    yield from _rule_violations(watch.rules if watch else (), properties)


def _computed(sample: Sample, computation: Computation) -> tuple[tuple[str, str, str] | None, bytes]:
    """What is wrong with an otherwise valid event once its properties are computed, and these as JSON."""
    properties = with_computed(sample, computation.computed)
    if isinstance(properties, ComputationFailure):
        field = f"properties.{properties.property}"
        return (field, "EXPRESSION_FAILED", f"{field} can't be computed: {properties.message}"), b""
    json = orjson.dumps(properties, option=orjson.OPT_SORT_KEYS)
    if _has_values(computation.rules, properties):
        return None, json
    return next(_rule_violations(computation.rules, properties), None), json


def _rule_violations(rules: Iterable[ValueRule], properties: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for rule in rules:
        if rule.applies_to(properties):
            yield from _value_violations(rule, properties)


def _value_violations(rule: ValueRule, properties: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    field, value = f"properties.{rule.property}", properties.get(rule.property)
    if value is None or (rule.is_id and not value):
        yield field, "PROPERTY_MISSING", f"{field} is required: a meter measures it"
    elif rule.is_id:
        operation = properties.get(OPERATION_PROPERTY, "add")
        if operation not in OPERATIONS:
            shown = f"{OPERATION_PROPERTY} is {operation[:64]!r}; expected add or remove"
            yield f"properties.{OPERATION_PROPERTY}", "OPERATION_UNKNOWN", shown
    elif not DECIMAL.fullmatch(value):
        yield field, "DECIMAL_MALFORMED", f"{field} is {value[:64]!r}; expected {_A_DECIMAL}"


def _timestamp_violations(
    event: metering_pb2.Event, micros: int, oldest: int, newest: int
) -> Iterator[tuple[str, str, str]]:
    stamp = event.timestamp
    if not event.HasField("timestamp"):
        yield "timestamp", "FIELD_MISSING", "timestamp is required"
    try:
        shown = stamp.ToJsonString()
    except ValueError:  # of a year that has not four digits, or of nanos that are none
        shown = f"{stamp.seconds} s and {stamp.nanos} ns after 1970"
    if not 0 <= stamp.nanos < 1_000_000_000:
        yield "timestamp", "TIMESTAMP_MALFORMED", f"timestamp is {shown}; nanos are 0 to 999,999,999"
    if micros < _OLDEST_MICROS:
        yield "timestamp", "TIMESTAMP_TOO_OLD", f"timestamp is {shown}, which is before the year 2000"
    elif micros < oldest:
        yield "timestamp", "BACKFILL_REQUIRED", f"timestamp is {shown}; events as old as this need a backfill"
    if micros > newest:
        lead = f"{(micros - newest) / 1e6 + LEAD.total_seconds():.0f} s"
        yield "timestamp", "TIMESTAMP_IN_FUTURE", f"timestamp is {shown}, {lead} ahead of the clock"


def _property_violations(properties: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    if len(properties) > MAX_PROPERTIES:
        yield "properties", "PROPERTIES_TOO_MANY", f"{len(properties)} properties, {MAX_PROPERTIES} at most"
    size = sum(len(name.encode()) + len(value.encode()) for name, value in properties.items())
    if size > MAX_PROPERTIES_BYTES:
        yield (
            "properties",
            "PROPERTIES_TOO_LARGE",
            f"names and values have {size} bytes in UTF-8, {MAX_PROPERTIES_BYTES} at most",
        )
    for name, value in sorted(properties.items()):
        if "\0" in name or "\0" in value:
            yield f"properties.{name}", "TEXT_MALFORMED", f"property {name!r} contains a NUL character"
