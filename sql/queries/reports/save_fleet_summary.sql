-- What the dashboard shows of the fleet as of a day; written only when it differs.
INSERT INTO predictions.fleet_summaries AS f (organization_id, as_of, content, created_at)
VALUES ((SELECT ops.current_organization()), %(as_of)s, %(content)s::jsonb, %(now)s)
ON CONFLICT (organization_id, as_of) DO UPDATE SET content = excluded.content, created_at = excluded.created_at
WHERE f.content IS DISTINCT FROM excluded.content;
