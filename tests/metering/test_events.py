"""Identity and fate of events, without a server."""

from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.metering.domain.events import (
    EventColumns,
    Fate,
    content_hash,
    fates,
    identity,
    micros_of,
    months_without,
)

NAMES = st.tuples(*[st.text(alphabet="1:a", max_size=4)] * 3)


@given(NAMES, NAMES)
def test_different_events_have_different_identities(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (identity(*one) == identity(*other)) == (one == other)


def test_what_is_hashed_never_changes() -> None:
    """Every event recorded so far is known by these: a change would make each retry look like another event."""
    assert identity("acme", "sub-é", "t-1").hex() == "8d4ff9ffecdddcf15c078b9f2f1f3e5f"
    assert content_hash("llm", 1_700_000_000_000_000, b'{"tokens":"1"}') == 558_313_766_872_562_531
    assert content_hash("llm", 1_700_000_000_000_000, b'{"tokens":"1"}', "2.5") == 3_868_115_860_438_794_642


def columns(*events: tuple[bytes, int]) -> EventColumns:
    size = len(events)
    return EventColumns(
        keys=[key for key, _ in events],
        content_hashes=[content for _, content in events],
        tenant_nos=[1] * size,
        series_nos=[1] * size,
        micros=list(range(size)),
        transaction_ids=[key.decode() for key, _ in events],
        properties=["{}"] * size,
        amounts=[None] * size,
    )


def test_the_first_of_each_identity_is_sent_to_the_database() -> None:
    sent = columns((b"a", 1), (b"b", 1), (b"a", 2), (b"c", 1), (b"b", 1))
    first = sent.without_repeats()
    assert (first.keys, first.content_hashes, first.micros) == ([b"a", b"b", b"c"], [1, 1, 1], [0, 1, 3])
    assert first.transaction_ids == ["a", "b", "c"]


def test_columns_without_repeats_are_left_alone() -> None:
    sent = columns((b"a", 1), (b"b", 1))
    assert sent.without_repeats() is sent


@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 1))),
    st.dictionaries(st.sampled_from([b"a", b"b"]), st.integers(0, 1)),
)
def test_the_contents_that_came_first_stand(sent: list[tuple[bytes, int]], standing: dict[bytes, int]) -> None:
    known = dict(standing)
    for (key, content), fate in zip(sent, fates(columns(*sent), standing), strict=True):
        if key not in known:
            assert fate is Fate.ACCEPTED
            known[key] = content
        else:
            assert fate is (Fate.DUPLICATE if known[key] == content else Fate.REUSED)


def test_months_are_those_of_utc() -> None:
    times = [datetime(2023, 12, 31, 23, 59, 59, 999999, UTC), datetime(2024, 1, 1, tzinfo=UTC)]
    assert months_without([micros_of(at) for at in times], set()) == [date(2023, 12, 1), date(2024, 1, 1)]
    assert months_without([micros_of(at) for at in times], {date(2023, 12, 1)}) == [date(2024, 1, 1)]
    assert months_without([micros_of(times[1])] * 2, {date(2024, 1, 1)}) == []
