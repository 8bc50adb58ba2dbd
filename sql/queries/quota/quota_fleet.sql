-- Money of the fleet as of %(as_of)s (date), or as of the latest day there is where that is NULL. Primary key.
SELECT as_of, state, note, run_id, content, computed_at FROM predictions.quota_fleet
WHERE as_of = CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (SELECT max(as_of) FROM predictions.quota_fleet) END;
