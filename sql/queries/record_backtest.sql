-- A trained version with its backtest; a new champion retires the one before.
WITH retired AS (
    UPDATE predictions.backtests SET role = 'retired'
    WHERE model_name = %(model_name)s AND role = 'champion' AND %(role)s = 'champion' AND model_version <> %(model_version)s
)
INSERT INTO predictions.backtests (organization_id, model_name, model_version, run_id, as_of, role, metrics, created_at)
SELECT ops.current_organization(), %(model_name)s, %(model_version)s, %(run_id)s, %(as_of)s, %(role)s, %(metrics)s, %(now)s;
