-- Forecasts of one day, of many as-of days: days ahead are the index's third column. With the day itself there, merges of fresh tables took
-- this index instead of the primary key, and read all rows of an as-of day for each row.
SET LOCAL ROLE simsight_owner;

DROP INDEX predictions.usage_forecasts_by_as_of;
CREATE INDEX usage_forecasts_by_as_of ON predictions.usage_forecasts (organization_id, as_of, (day - as_of));
