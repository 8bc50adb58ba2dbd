-- What was forecast for %(day)s, as of the newest day before it within a week: sim_key, day, and the median and the upper end of the 95 per
-- cent interval in bytes; of all SIMs, or of the keys in %(sim_keys)s. Index usage_forecasts_by_as_of.
WITH newest AS (
    SELECT max(as_of) AS as_of FROM predictions.scorings AS s
    WHERE model_name = 'usage-forecaster' AND as_of < %(day)s AND as_of >= %(day)s::date - 7
      AND EXISTS (SELECT FROM own.usage_forecasts AS f WHERE f.as_of = s.as_of AND f.day - f.as_of = %(day)s - s.as_of
                      AND f.organization_id = (SELECT ops.current_organization()))
)
SELECT f.sim_key, f.day, f.q50::double precision, f.q975::double precision
FROM own.usage_forecasts AS f JOIN newest USING (as_of)
WHERE f.day - f.as_of = %(day)s - newest.as_of AND f.organization_id = (SELECT ops.current_organization())
  AND (%(sim_keys)s::integer[] IS NULL OR f.sim_key = ANY(%(sim_keys)s::integer[]))
ORDER BY f.sim_key;
