-- Money of the fleet as of a day, or as of the latest there is where as_of is NULL, with the realized savings of all months. Primary keys.
SELECT f.as_of, f.state, f.note, f.run_id, f.content, f.computed_at,
       coalesce((SELECT json_agg(json_build_object('month', r.month, 'scope', r.scope, 'sims', r.sims,
                                                     'predicted_minor', r.predicted_minor, 'realized_minor', r.realized_minor,
                                                     'currency', r.currency) ORDER BY r.month, r.scope)
                 FROM predictions.realized_savings AS r), '[]'::json) AS realized
FROM predictions.quota_fleet AS f
WHERE f.as_of = CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (SELECT max(as_of) FROM predictions.quota_fleet) END
