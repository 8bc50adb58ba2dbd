CREATE OR REPLACE VIEW predictions.promotions_v1 WITH (security_invoker = true) AS
SELECT
    organization_id,
    promotion_id,
    model_name,
    model_version,
    from_version,
    decided_by,
    decided_at,
    why
FROM predictions.promotions;

COMMENT ON VIEW predictions.promotions_v1 IS
    'One row a change of champion: from which version to which, who decided it, when and why';

GRANT SELECT ON predictions.promotions_v1 TO simsight_pipeline, simsight_api;
