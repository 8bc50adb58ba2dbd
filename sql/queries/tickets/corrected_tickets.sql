-- One row a ticket that people corrected by %(now)s, with the newest category: case_id, text, category. Index: ticket_corrections_by_case.
SELECT DISTINCT ON (t.case_id) t.case_id, concat_ws(E'\n', t.subject, t.body) AS text, k.category
FROM predictions.ticket_corrections AS k JOIN core.tickets AS t USING (organization_id, case_id)
WHERE k.said_at <= %(now)s
ORDER BY t.case_id, k.correction_id DESC;
