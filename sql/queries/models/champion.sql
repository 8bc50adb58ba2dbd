-- The version that scores, with its backtest.
SELECT model_name, model_version, run_id, as_of, metrics, created_at
FROM predictions.backtests WHERE model_name = %(model_name)s AND role = 'champion';
