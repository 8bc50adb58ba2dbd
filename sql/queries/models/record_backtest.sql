-- A trained version with its backtest, as challenger until promote_version makes it champion.
INSERT INTO predictions.backtests
    (organization_id, model_name, model_version, run_id, as_of, role, metrics, created_at, why, comparison)
VALUES ((SELECT ops.current_organization()), %(model_name)s, %(model_version)s, %(run_id)s, %(as_of)s, 'challenger', %(metrics)s, %(now)s,
        %(why)s, %(comparison)s);
