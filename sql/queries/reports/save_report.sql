-- The fleet report of a day; written only when it differs.
INSERT INTO predictions.reports AS r (organization_id, as_of, html, created_at)
VALUES ((SELECT ops.current_organization()), %(as_of)s, %(html)s, %(now)s)
ON CONFLICT (organization_id, as_of) DO UPDATE SET html = excluded.html, created_at = excluded.created_at
WHERE r.html IS DISTINCT FROM excluded.html;
