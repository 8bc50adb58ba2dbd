-- An acknowledged false alarm; its key. No row, and nothing written, when the ICCID given is not known.
INSERT INTO predictions.anomaly_feedback (organization_id, sim_key, label, kind, said_by, said_at, note)
SELECT (SELECT ops.current_organization()), s.sim_key, %(label)s, %(kind)s, %(by)s, %(now)s, %(note)s
FROM (SELECT 1) AS one LEFT JOIN core.sims AS s ON s.iccid = %(iccid)s::text
WHERE %(iccid)s::text IS NULL OR s.sim_key IS NOT NULL
RETURNING feedback_id;
