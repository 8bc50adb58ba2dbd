-- One row, the forecasts of SIMs as of %(as_of)s: SIMs forecast, and the latest scoring that made them; NULL where there are none.
-- Index: usage_forecasts_by_as_of.
SELECT count(DISTINCT sim_key) AS sims, max(scoring_id) AS scoring_id
FROM predictions.usage_forecasts WHERE as_of = %(as_of)s;
