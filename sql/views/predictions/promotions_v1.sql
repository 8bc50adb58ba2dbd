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
COMMENT ON COLUMN predictions.promotions_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.promotions_v1.promotion_id IS 'Number of the change, rising with time';
COMMENT ON COLUMN predictions.promotions_v1.model_name IS 'Registered model';
COMMENT ON COLUMN predictions.promotions_v1.model_version IS 'Version that scores from then on';
COMMENT ON COLUMN predictions.promotions_v1.from_version IS 'Version that scored before; NULL: none';
COMMENT ON COLUMN predictions.promotions_v1.decided_by IS 'training, or the user who rolled back';
COMMENT ON COLUMN predictions.promotions_v1.decided_at IS 'When (UTC)';
COMMENT ON COLUMN predictions.promotions_v1.why IS 'Why, in a sentence';

GRANT SELECT ON predictions.promotions_v1 TO simsight_pipeline, simsight_api;
