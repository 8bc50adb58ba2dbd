-- Classes of tickets, one row a ticket; the same again changes nothing but which state of the ticket was read.
-- staged: case_id text, scoring_id integer, category text, confidence double precision, priority text, to_person boolean, reasons text, iccid text, ticket_changed_at timestamptz, classified_at timestamptz
WITH named AS (
    SELECT n.case_id, n.scoring_id, n.category, n.confidence, n.priority, n.to_person, n.reasons, s.sim_key, n.ticket_changed_at,
           n.classified_at
    FROM staged AS n LEFT JOIN core.sims AS s ON s.iccid = n.iccid
), compared AS (
    SELECT n.*, c.case_id IS NULL AS is_new, c.case_id IS NOT NULL
               AND (n.category, n.confidence, n.priority, n.to_person, n.reasons, n.sim_key)
               IS DISTINCT FROM (c.category, c.confidence, c.priority, c.to_person, c.reasons, c.sim_key) AS is_changed
    FROM named AS n
    LEFT JOIN predictions.ticket_classes AS c ON c.organization_id = (SELECT ops.current_organization()) AND c.case_id = n.case_id
), written AS (
    INSERT INTO predictions.ticket_classes
        (organization_id, case_id, scoring_id, category, confidence, priority, to_person, reasons, sim_key, ticket_changed_at, classified_at)
    SELECT (SELECT ops.current_organization()), case_id, scoring_id, category, confidence, priority, to_person, reasons, sim_key,
           ticket_changed_at, classified_at
    FROM compared
    ON CONFLICT (organization_id, case_id) DO UPDATE SET
        scoring_id = excluded.scoring_id,
        category = excluded.category,
        confidence = excluded.confidence,
        priority = excluded.priority,
        to_person = excluded.to_person,
        reasons = excluded.reasons,
        sim_key = excluded.sim_key,
        ticket_changed_at = excluded.ticket_changed_at,
        classified_at = excluded.classified_at
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
