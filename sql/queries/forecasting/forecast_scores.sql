-- How forecasts did, one row a day, part of the horizon and version, with what the version's backtest promised; the %(days)s days up to %(as_of)s.
-- Primary key.
SELECT s.day, s.horizon, s.model_version, s.sims, s.n, s.error, s.baseline_error, s.rmase, s.coverage_80, s.coverage_95, s.bias,
       s.above_median, (b.metrics ->> 'coverage_80')::double precision AS promised_80
FROM predictions.forecast_scores AS s
LEFT JOIN predictions.backtests AS b USING (model_name, model_version)
WHERE s.model_name = %(model_name)s AND s.day > %(as_of)s::date - %(days)s::integer AND s.day <= %(as_of)s
ORDER BY s.day, s.horizon, s.model_version;
