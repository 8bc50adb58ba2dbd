-- One row: what a ticket is about, with the MLflow run that trained the classifier; without a category before it is classified.
-- Parameter: case_id text.
SELECT case_id AS ticket_id, category, confidence, priority, to_person AS needs_human, reasons, iccid, decided_by, as_of, model_name,
       model_version,
       (SELECT b.run_id FROM predictions.backtests AS b WHERE b.model_name = v.model_name AND b.model_version = v.model_version) AS mlflow_run,
       classified_at
FROM predictions.tickets_v1 AS v
WHERE case_id = %(case_id)s::text
