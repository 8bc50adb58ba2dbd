-- The state of each SIM: one row a SIM. What is staged has changed or is new. Evidence, as_of and who decided are those of the
-- decision: a change of device or country leaves them.
-- staged: sim_key integer, state text, since date, cause text, evidence text, as_of date, decided_by text, decided_at timestamptz, off_on date, resumed_on date, imei text, imei_since date, country text, country_since date
WITH written AS (
    INSERT INTO core.sim_states AS t (organization_id, sim_key, state, since, cause, evidence, as_of, decided_by, decided_at, off_on,
                                 resumed_on, imei, imei_since, country, country_since)
    SELECT ops.current_organization(), sim_key, state, since, cause, evidence, as_of, decided_by, decided_at, off_on,
           resumed_on, imei, imei_since, country, country_since
    FROM staged
    ON CONFLICT (sim_key) DO UPDATE SET
        state = excluded.state,
        since = excluded.since,
        cause = excluded.cause,
        evidence = CASE WHEN (t.state, t.since, t.cause) IS DISTINCT FROM (excluded.state, excluded.since, excluded.cause)
            THEN excluded.evidence ELSE t.evidence END,
        as_of = CASE WHEN (t.state, t.since, t.cause) IS DISTINCT FROM (excluded.state, excluded.since, excluded.cause)
            THEN excluded.as_of ELSE t.as_of END,
        decided_by = CASE WHEN (t.state, t.since, t.cause) IS DISTINCT FROM (excluded.state, excluded.since, excluded.cause)
            THEN excluded.decided_by ELSE t.decided_by END,
        decided_at = CASE WHEN (t.state, t.since, t.cause) IS DISTINCT FROM (excluded.state, excluded.since, excluded.cause)
            THEN excluded.decided_at ELSE t.decided_at END,
        off_on = excluded.off_on,
        resumed_on = excluded.resumed_on,
        imei = excluded.imei,
        imei_since = excluded.imei_since,
        country = excluded.country,
        country_since = excluded.country_since
)
SELECT count(*) FILTER (WHERE t.sim_key IS NULL) AS new, count(t.sim_key) AS changed, 0::bigint AS unchanged
FROM staged AS s LEFT JOIN core.sim_states AS t USING (sim_key);
