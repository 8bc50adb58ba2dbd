-- The lists of exhaustions and of churn risks go on by an index within SIMs that share a place, which many do that have no date or one risk.
SET LOCAL ROLE simsight_owner;

DROP INDEX predictions.exhaustions_by_as_of;
CREATE INDEX exhaustions_by_as_of ON predictions.exhaustions (
    organization_id,
    as_of,
    (status IN ('exhausted', 'expired')),
    (CASE
        WHEN status = 'not_enough_evidence' AND p_30 = 1 AND expires_on IS NOT NULL THEN expires_on
        WHEN p50_date IS NULL THEN 'infinity'::date
        ELSE p50_date
    END),
    (CASE WHEN p_14 IS NULL THEN -1 ELSE p_14 END) DESC,
    sim_key
);

DROP INDEX predictions.churn_risks_by_as_of;
CREATE INDEX churn_risks_by_as_of ON predictions.churn_risks (organization_id, as_of, p_90 DESC, sim_key);
