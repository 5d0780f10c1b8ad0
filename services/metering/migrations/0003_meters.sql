-- More aggregations, and what usage can be split by.
ALTER TABLE meter
    DROP CONSTRAINT meter_aggregation_check,
    ADD CONSTRAINT meter_aggregation_check CHECK (aggregation IN (
        'count', 'sum', 'max', 'min', 'average', 'latest', 'unique_count', 'weighted_sum', 'percentile'
    )),
    ADD COLUMN recurring          boolean NOT NULL DEFAULT false,
    ADD COLUMN dimensions         text[]  NOT NULL DEFAULT '{}',
    ADD COLUMN rounding_function  text    CHECK (rounding_function IN ('round', 'ceil', 'floor')),
    ADD COLUMN rounding_precision integer CHECK (rounding_precision BETWEEN -20 AND 20),
    ADD COLUMN percentile         numeric CHECK (percentile > 0 AND percentile <= 100),
    ADD CONSTRAINT recurring_where_it_means_something
        CHECK (NOT recurring OR aggregation IN ('sum', 'unique_count', 'weighted_sum')),
    ADD CONSTRAINT rounding_is_whole CHECK ((rounding_function IS NULL) = (rounding_precision IS NULL)),
    ADD CONSTRAINT percentile_of_percentiles CHECK ((aggregation = 'percentile') = (percentile IS NOT NULL));

-- What an event says it costs, in major units. An event without it is no larger for the column.
ALTER TABLE event ADD COLUMN amount numeric(38, 12);
