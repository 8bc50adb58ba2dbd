-- How honest exhaustion dates are as of a day; another outcome for the same day replaces it.
INSERT INTO predictions.exhaustion_backtests AS known (organization_id, as_of, status, coverage_80, lowest, highest, achieved, note, created_at)
SELECT (SELECT ops.current_organization()), %(as_of)s, %(status)s, %(coverage_80)s, %(lowest)s, %(highest)s, %(achieved)s, %(note)s, %(now)s
ON CONFLICT (organization_id, as_of) DO UPDATE SET
    status = excluded.status, coverage_80 = excluded.coverage_80, lowest = excluded.lowest, highest = excluded.highest,
    achieved = excluded.achieved, note = excluded.note, created_at = excluded.created_at
WHERE (known.status, known.coverage_80, known.lowest, known.highest, known.achieved, known.note)
    IS DISTINCT FROM (excluded.status, excluded.coverage_80, excluded.lowest, excluded.highest, excluded.achieved, excluded.note)
