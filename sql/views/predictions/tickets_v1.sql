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
COMMENT ON COLUMN predictions.tickets_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.tickets_v1.case_id IS '1NCE''s id of the ticket';
COMMENT ON COLUMN predictions.tickets_v1.subject IS 'Subject';
COMMENT ON COLUMN predictions.tickets_v1.status IS 'OPEN, IN_PROGRESS or CLOSED';
COMMENT ON COLUMN predictions.tickets_v1.opened_at IS 'When it was opened (UTC)';
COMMENT ON COLUMN predictions.tickets_v1.solved_at IS 'When it was solved (UTC)';
COMMENT ON COLUMN predictions.tickets_v1.category IS
    'connectivity_issue, billing_question, quota_exhausted, activation_problem, technical_support or account_management; NULL: not classified yet, or without a text';
COMMENT ON COLUMN predictions.tickets_v1.confidence IS 'Calibrated probability that the category is right; 1 where a person said it';
COMMENT ON COLUMN predictions.tickets_v1.priority IS 'high, medium or low, by category and confidence; NULL: not classified yet';
COMMENT ON COLUMN predictions.tickets_v1.to_person IS
    'Whether a person is to decide: nobody did, and the confidence is low or there is no category';
COMMENT ON COLUMN predictions.tickets_v1.reasons IS 'Why the classifier chose its category, in a sentence';
COMMENT ON COLUMN predictions.tickets_v1.iccid IS 'ICCID of the SIM that the text names; NULL: none, or several';
COMMENT ON COLUMN predictions.tickets_v1.decided_by IS 'Whose category it is: person or model; NULL: not classified yet';
COMMENT ON COLUMN predictions.tickets_v1.corrected_by IS 'Who corrected it; NULL: nobody';
COMMENT ON COLUMN predictions.tickets_v1.model_name IS 'Registered model that it was made with';
COMMENT ON COLUMN predictions.tickets_v1.model_version IS 'Version of that model in the MLflow registry';
COMMENT ON COLUMN predictions.tickets_v1.run_id IS 'Pipeline run that made it';
COMMENT ON COLUMN predictions.tickets_v1.as_of IS 'Last complete UTC day when it was classified';
COMMENT ON COLUMN predictions.tickets_v1.classified_at IS 'When the classifier last looked at it (UTC)';

GRANT SELECT ON predictions.tickets_v1 TO simsight_pipeline, simsight_api;
