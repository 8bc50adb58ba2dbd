-- One row: the model version of a scoring, the run that trained it, and its backtest; none for an unknown scoring.
SELECT b.model_name, b.model_version, b.run_id, b.as_of AS trained_as_of, b.metrics
FROM predictions.scorings AS s JOIN predictions.backtests AS b USING (model_name, model_version)
WHERE s.scoring_id = %(scoring_id)s;
