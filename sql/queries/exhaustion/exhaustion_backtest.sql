-- One row: the backtest of exhaustion dates as of a day; none when it was not made. Primary key.
SELECT status, coverage_80, lowest, highest, achieved, note FROM predictions.exhaustion_backtests
WHERE organization_id = (SELECT ops.current_organization()) AND as_of = %(as_of)s
