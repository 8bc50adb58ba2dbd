-- Event records: an event that is known already, from polling or from the stream, stays as it is. `differing` are the ids that are
-- stored as another event: that stays. Indexes sim_events_by_record, sim_events_pkey.
-- staged: record_id bigint, sim_key integer, occurred_at timestamptz, event_type text, severity text, alert boolean, imei text, imsi text, country text, operator text
WITH differing AS (
    SELECT DISTINCT s.record_id
    FROM staged AS s
    JOIN own.sim_events AS t ON t.organization_id = (SELECT ops.current_organization()) AND t.record_id = s.record_id
    WHERE (t.sim_key, t.occurred_at, t.event_type) IS DISTINCT FROM (s.sim_key, s.occurred_at, s.event_type)
), written AS (
    INSERT INTO own.sim_events
        (organization_id, sim_key, occurred_at, event_type, severity, alert, imei, imsi, country, operator, record_id)
    SELECT (SELECT ops.current_organization()), sim_key, occurred_at, event_type, severity, alert, imei, imsi, country, operator, record_id
    FROM staged WHERE record_id NOT IN (SELECT record_id FROM differing)
    ORDER BY sim_key, occurred_at
    ON CONFLICT (sim_key, occurred_at, event_type) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM written) AS new,
       (SELECT count(*) FROM staged) - (SELECT count(*) FROM written) - (SELECT count(*) FROM differing) AS unchanged,
       ARRAY(SELECT record_id FROM differing) AS differing;
