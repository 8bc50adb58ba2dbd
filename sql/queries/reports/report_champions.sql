-- One row a model: the version that scores, with its backtest. Primary key.
SELECT model_name, model_version, as_of AS trained_as_of, metrics FROM predictions.backtests WHERE role = 'champion' ORDER BY model_name;
