-- Events of backfills in the files of an archived month: for reconciliation, which compares backfills as wholes.
CREATE TABLE archived_backfill (
    month       date   NOT NULL REFERENCES archived_month (month),
    backfill_no bigint NOT NULL REFERENCES backfill (backfill_no),
    event_count bigint NOT NULL,
    PRIMARY KEY (month, backfill_no)
);
