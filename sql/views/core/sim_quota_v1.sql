CREATE OR REPLACE VIEW core.sim_quota_v1 WITH (security_invoker = true) AS
SELECT
    q.organization_id,
    s.iccid,
    q.kind,
    q.day,
    q.amount_left,
    q.amount_total,
    q.expires_at,
    q.observed_at,
    q.amount_accumulated
FROM own.sim_quota AS q
JOIN core.sims AS s USING (sim_key);

COMMENT ON VIEW core.sim_quota_v1 IS
    'One row a SIM, kind of quota and day. Amounts: bytes (millionths of a MB) or messages. '
    'amount_accumulated: all that was ever provisioned, where 1NCE says it';

GRANT SELECT ON core.sim_quota_v1 TO simsight_pipeline, simsight_api;
