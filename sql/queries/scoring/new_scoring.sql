-- A new scoring.
INSERT INTO predictions.scorings (organization_id, model_name, model_version, run_id, as_of, created_at)
VALUES ((SELECT ops.current_organization()), %(model_name)s, %(model_version)s, %(run_id)s, %(as_of)s, %(now)s)
RETURNING scoring_id;
