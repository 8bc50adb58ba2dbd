-- The sum of a total from the day after as_of to each day ahead, with an interval of its own: the quantiles of days do not add up.
SET LOCAL ROLE simsight_owner;

ALTER TABLE predictions.aggregate_forecasts
    ADD COLUMN sum_mean_bytes bigint,
    ADD COLUMN sum_q025_bytes bigint,
    ADD COLUMN sum_q10_bytes bigint,
    ADD COLUMN sum_q50_bytes bigint,
    ADD COLUMN sum_q90_bytes bigint,
    ADD COLUMN sum_q975_bytes bigint;
COMMENT ON COLUMN predictions.aggregate_forecasts.sum_mean_bytes IS 'Expected bytes (millionths of a MB) from the day after as_of to this day; NULL where it was not computed';
COMMENT ON COLUMN predictions.aggregate_forecasts.sum_q025_bytes IS '2.5 percent quantile of that sum, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts.sum_q10_bytes IS '10 percent quantile of that sum, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts.sum_q50_bytes IS 'Median of that sum, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts.sum_q90_bytes IS '90 percent quantile of that sum, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts.sum_q975_bytes IS '97.5 percent quantile of that sum, same unit';
