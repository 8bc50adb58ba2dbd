-- One row, the forecasts as of %(as_of)s: SIMs forecast, expected bytes (millionths of a MB) of the fleet over the next 7 and
-- 30 days, and the latest scoring that made them; NULL where there are none. Index: usage_forecasts_by_as_of.
SELECT count(DISTINCT sim_key) AS sims, max(scoring_id) AS scoring_id,
       (sum(mean) FILTER (WHERE day <= %(as_of)s::date + 7))::bigint AS expected_7,
       (sum(mean) FILTER (WHERE day <= %(as_of)s::date + 30))::bigint AS expected_30
FROM predictions.usage_forecasts WHERE as_of = %(as_of)s;
