-- Another version becomes champion, and who decided it is written down. To be run after retire_champion, in the same transaction.
WITH promoted AS (
    UPDATE predictions.backtests SET role = 'champion'
    WHERE model_name = %(model_name)s AND model_version = %(model_version)s
    RETURNING organization_id, model_name, model_version
)
INSERT INTO predictions.promotions (organization_id, model_name, model_version, from_version, decided_by, decided_at, why)
SELECT organization_id, model_name, model_version, %(from_version)s, %(decided_by)s, %(now)s, %(why)s FROM promoted;
