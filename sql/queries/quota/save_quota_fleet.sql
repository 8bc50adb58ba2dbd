-- Money of the fleet as of a day; the same again is left as it is. Rows written: 1 or 0.
INSERT INTO predictions.quota_fleet AS f (organization_id, as_of, state, note, run_id, content, computed_at)
VALUES ((SELECT ops.current_organization()), %(as_of)s, %(state)s, %(note)s, %(run_id)s, %(content)s::jsonb, %(now)s)
ON CONFLICT (organization_id, as_of) DO UPDATE SET
    state = excluded.state, note = excluded.note, run_id = excluded.run_id, content = excluded.content, computed_at = excluded.computed_at
WHERE (f.state, f.note, f.content) IS DISTINCT FROM (excluded.state, excluded.note, excluded.content);
