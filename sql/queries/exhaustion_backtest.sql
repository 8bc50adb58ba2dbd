-- One row: the backtest of exhaustion dates as of a day, or else the latest one before it; none without any. Primary key.
SELECT as_of, status, coverage_80, lowest, highest, achieved, note FROM predictions.exhaustion_backtests
WHERE organization_id = ops.current_organization() AND as_of <= %(as_of)s
ORDER BY as_of DESC LIMIT 1
