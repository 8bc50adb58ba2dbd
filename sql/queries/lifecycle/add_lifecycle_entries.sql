-- Entries in the life of SIMs, in the order of `place`. What happened and is there already stays as it is; a top-up that was first seen
-- as a rise of the quota is not told again when its event or order comes.
-- staged: place integer, sim_key integer, kind text, occurred_on date, from_value text, to_value text, evidence text, as_of date, decided_by text, decided_at timestamptz
WITH written AS (
    INSERT INTO core.sim_lifecycle (organization_id, sim_key, kind, occurred_on, from_value, to_value, evidence, as_of, decided_by, decided_at)
    SELECT (SELECT ops.current_organization()), sim_key, kind, occurred_on, from_value, to_value, evidence, as_of, decided_by, decided_at
    FROM staged AS s
    WHERE kind <> 'top_up' OR NOT EXISTS (
        SELECT FROM core.sim_lifecycle AS l
        WHERE l.sim_key = s.sim_key AND l.kind = 'top_up' AND l.to_value = s.to_value AND starts_with(l.evidence, 'The quota rose')
            AND l.occurred_on BETWEEN s.occurred_on - 1 AND s.occurred_on + 7)
    ORDER BY place
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM written) AS new, 0::bigint AS changed,
       (SELECT count(*) FROM staged) - (SELECT count(*) FROM written) AS unchanged;
