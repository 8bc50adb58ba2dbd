-- Accepts or dismisses a recommendation; its number. No row, and nothing written, when it is not known.
WITH wanted AS (
    SELECT organization_id, recommendation_id FROM predictions.quota_recommendations
    WHERE recommendation_id = %(recommendation_id)s FOR UPDATE
)
INSERT INTO predictions.recommendation_decisions (organization_id, recommendation_id, decision, reason, decided_by, decided_at)
SELECT organization_id, recommendation_id, %(decision)s, %(reason)s, %(by)s, %(now)s FROM wanted
RETURNING recommendation_id;
