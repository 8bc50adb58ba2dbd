-- One row a ticket that has no class, has changed since, or was classified by another version: case_id, text (subject and body),
-- opened_at, changed_at. %(model_name)s text, %(model_version)s integer: who classifies. Primary keys.
SELECT t.case_id, concat_ws(E'\n', t.subject, t.body) AS text, t.created_at AS opened_at, t.changed_at
FROM core.tickets AS t
LEFT JOIN predictions.ticket_classes AS c USING (organization_id, case_id)
LEFT JOIN predictions.scorings AS r USING (scoring_id)
WHERE c.case_id IS NULL OR c.ticket_changed_at <> t.changed_at
    OR (r.model_name, r.model_version) <> (%(model_name)s::text, %(model_version)s::integer)
ORDER BY t.case_id;
