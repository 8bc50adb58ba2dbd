CREATE OR REPLACE VIEW predictions.tickets_v1 WITH (security_invoker = true) AS
SELECT
    t.organization_id,
    t.case_id,
    t.subject,
    t.status,
    t.created_at AS opened_at,
    t.solved_at,
    coalesce(k.category, c.category) AS category,
    CASE WHEN k.category IS NULL THEN c.confidence ELSE 1 END AS confidence,
    -- a person's category says the urgency too, by the same rule
    CASE
        WHEN k.category IS NULL OR k.category = c.category THEN c.priority
        WHEN k.category IN ('connectivity_issue', 'quota_exhausted') THEN 'high'
        ELSE 'low'
    END AS priority,
    k.category IS NULL AND coalesce(c.to_person, true) AS to_person,
    c.reasons,
    s.iccid,
    CASE WHEN k.category IS NOT NULL THEN 'person' WHEN c.case_id IS NOT NULL THEN 'model' END AS decided_by,
    k.said_by AS corrected_by,
    r.model_name,
    r.model_version,
    r.run_id,
    r.as_of,
    c.classified_at
FROM core.tickets AS t
LEFT JOIN predictions.ticket_classes AS c USING (organization_id, case_id)
LEFT JOIN predictions.scorings AS r ON r.scoring_id = c.scoring_id
LEFT JOIN core.sims AS s ON s.sim_key = c.sim_key
LEFT JOIN LATERAL (
    SELECT category, said_by FROM predictions.ticket_corrections AS k
    WHERE k.organization_id = t.organization_id AND k.case_id = t.case_id ORDER BY k.correction_id DESC LIMIT 1
) AS k ON true;

COMMENT ON VIEW predictions.tickets_v1 IS
    'One row a support ticket: its category, priority and SIM, by the classifier or, where decided_by is person, by '
    'the newest correction. category NULL: not classified yet, or without a text. to_person: a person is to decide';

GRANT SELECT ON predictions.tickets_v1 TO simsight_pipeline, simsight_api;
