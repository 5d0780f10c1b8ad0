from pathlib import Path

import pytest

from cli.errors import WrongUsage
from cli.events import checkpoint
from cli.events.rows import BadRow, Place, Row
from cli.events.sending import BATCH_EVENTS, Outcome, batches
from weir.metering.v1.metering_pb2 import Event


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    path.write_text("when,n\n" + "2023-01-01T00:00:00Z,1\n" * 10)
    return path


def saved(file: Path, row: int) -> Path:
    path = file.with_suffix(".checkpoint")
    start = checkpoint.begin(file, "as csv")
    checkpoint.save(path, checkpoint.Checkpoint(start.source, start.head_bytes, start.head_sha256, row))
    return path


def test_a_checkpoint_is_found_again(file: Path) -> None:
    path = saved(file, 7)
    assert checkpoint.load(path, file, checkpoint.begin(file, "as csv")).row == 7


def test_without_a_checkpoint_one_begins_at_the_beginning(file: Path) -> None:
    fresh = checkpoint.begin(file, "as csv")
    assert checkpoint.load(file.with_suffix(".none"), file, fresh).row == 0


def test_a_file_may_grow(file: Path) -> None:
    path = saved(file, 7)
    with file.open("a") as more:
        more.write("2023-01-01T00:00:00Z,1\n" * 1000)
    assert checkpoint.load(path, file, checkpoint.begin(file, "as csv")).row == 7


def test_another_file_of_that_name_is_noticed(file: Path) -> None:
    path = saved(file, 7)
    file.write_text(file.read_text().replace("2023", "2024"))
    with pytest.raises(WrongUsage, match="is not the file it was"):
        checkpoint.load(path, file, checkpoint.begin(file, "as csv"))


def test_another_mapping_is_noticed(file: Path) -> None:
    path = saved(file, 7)
    with pytest.raises(WrongUsage, match="belongs to another file, or to other options"):
        checkpoint.load(path, file, checkpoint.begin(file, "as csv with other columns"))


def test_a_damaged_checkpoint_is_not_believed(file: Path) -> None:
    path = file.with_suffix(".checkpoint")
    path.write_text("{")
    with pytest.raises(WrongUsage, match="is not a checkpoint"):
        checkpoint.load(path, file, checkpoint.begin(file, "as csv"))


def rows(count: int, broken: frozenset[int] = frozenset()) -> list[Row | BadRow]:
    return [
        BadRow(Place(row, row + 2), "n", "DECIMAL_MALFORMED", "no")
        if row in broken
        else Row(Place(row, row + 2), Event(transaction_id=f"row-{row}"))
        for row in range(count)
    ]


def test_good_rows_are_batched_and_broken_ones_reported() -> None:
    outcome = Outcome()
    made = list(batches(rows(BATCH_EVENTS + 3, frozenset({0, 5, BATCH_EVENTS + 2})), outcome))
    assert [(len(batch.places), batch.end_row) for batch in made] == [(BATCH_EVENTS, BATCH_EVENTS + 2), (0, 1003)]
    assert [failure.place.row for failure in outcome.failures] == [0, 5, BATCH_EVENTS + 2]


def test_rows_before_the_checkpoint_are_neither_sent_nor_reported() -> None:
    outcome = Outcome()
    [batch] = batches(rows(10, frozenset({1, 8})), outcome, from_row=6)
    assert [place.row for place in batch.places] == [6, 7, 9]
    assert [failure.place.row for failure in outcome.failures] == [8]


def test_of_many_failures_all_are_counted_and_some_kept() -> None:
    outcome = Outcome()
    [batch] = batches(rows(3000, frozenset(range(3000))), outcome)
    assert batch.places == ()
    assert (outcome.failure_count, len(outcome.failures)) == (3000, Outcome.MAX_KEPT)
