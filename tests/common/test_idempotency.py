import pytest

from libs.common.errors import Conflict
from libs.common.idempotency import fingerprint, require_same
from weir.metering.v1.metering_pb2 import Event


def test_equal_requests_have_equal_fingerprints_whatever_the_order_of_their_maps() -> None:
    properties = {f"property-{number}": str(number) for number in range(20)}
    one = fingerprint(Event(code="call", properties=properties))
    assert fingerprint(Event(code="call", properties=dict(reversed(properties.items())))) == one
    assert fingerprint(Event(code="call", properties=properties | {"property-0": "1"})) != one


def test_a_request_id_used_with_other_contents_is_a_conflict() -> None:
    require_same(b"hash", b"hash", "6f96")
    with pytest.raises(Conflict) as refused:
        require_same(b"hash", b"other", "6f96")
    assert (refused.value.reason, refused.value.metadata) == ("REQUEST_ID_REUSED", {"request_id": "6f96"})
