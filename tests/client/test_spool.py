from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.client.spool import Refusal, Spool
from libs.common.errors import FailedPrecondition, ResourceExhausted

LIMIT_BYTES = 512 * 1024


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path, "acme", "process", LIMIT_BYTES)
    yield opened
    opened.close()


def fill(spool: Spool, message: bytes = b"x" * 1000) -> int:
    """How many messages went in until it was full."""
    for count in range(LIMIT_BYTES):
        try:
            spool.add([message])
        except ResourceExhausted:
            return count
    raise AssertionError("the spool has no limit")


def test_a_full_spool_refuses_and_keeps_what_it_has(spool: Spool) -> None:
    count = fill(spool)
    assert LIMIT_BYTES * 0.8 < count * 1000 < LIMIT_BYTES
    assert spool.waiting() == count


def test_of_several_events_that_do_not_all_fit_none_is_recorded(spool: Spool) -> None:
    spool.add([b"first"])
    with pytest.raises(ResourceExhausted):
        spool.add([b"x" * 1000] * 1000)
    assert [each.message for each in spool.read(0, 10)] == [b"first"]


def test_what_is_settled_makes_room(spool: Spool) -> None:
    count = fill(spool)
    spool.settle(spool.read(0, 100), [])
    assert fill(spool) >= 95
    assert count - 5 <= spool.waiting() <= count


def test_refusals_are_kept_even_when_the_spool_is_full(spool: Spool) -> None:
    count = fill(spool)
    spool.add([b""])  # the last bytes of a page
    batch = spool.read(0, 50)
    spool.settle(batch, [Refusal(each, "code", "METER_UNKNOWN", "m" * 2000) for each in batch])
    assert len(spool.refusals(0, 100)) == 50
    with pytest.raises(ResourceExhausted):
        spool.add([b"x" * 100_000])
    spool.forget(each.id for each in batch)
    spool.add([b"x" * 50_000])
    assert spool.waiting() == count - 50 + 2


def test_an_id_is_never_given_twice(tmp_path: Path) -> None:
    for expected in (1, 2):
        spool = Spool(tmp_path, "acme", "process", LIMIT_BYTES)
        spool.add([b"again"])
        [event] = spool.read(0, 10)
        assert event.id == spool.last_id() == expected
        spool.settle([event], [])
        spool.close()


def test_a_directory_belongs_to_one_tenant(tmp_path: Path) -> None:
    Spool(tmp_path, "acme", "process", LIMIT_BYTES).close()
    with pytest.raises(FailedPrecondition, match=r"is for events of acme.*SPOOL_OF_ANOTHER_TENANT"):
        Spool(tmp_path, "globex", "process", LIMIT_BYTES)


def test_one_of_several_sends(tmp_path: Path) -> None:
    first, second = (Spool(tmp_path, "acme", "process", LIMIT_BYTES) for _ in range(2))
    assert first.claim_sending()
    assert first.claim_sending()
    assert not second.claim_sending()
    first.close()
    assert second.claim_sending()
    second.close()
