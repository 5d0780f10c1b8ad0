from datetime import UTC, datetime, timedelta

from libs.common.ids import new_id

NOW = datetime(2023, 11, 1, tzinfo=UTC)


def test_ids_sort_by_the_time_of_their_making_and_never_repeat() -> None:
    in_order = [new_id("inv", NOW + timedelta(milliseconds=number)) for number in range(100)]
    assert in_order == sorted(in_order)
    assert len({new_id("inv", NOW) for _ in range(1000)}) == 1000
    assert all(each.startswith("inv_0") and len(each) == len("inv_") + 26 for each in in_order)
