-- Usage records, a row a record and day: one whose id is new is written, one that came before changes nothing. `differing` are the
-- ids that are stored with other content: that stays. Index stream_usage_pkey.
-- staged: record_id bigint, sim_key integer, day date, kind text, started_at timestamptz, ended_at timestamptz, bytes bigint, bytes_rx bigint, sms integer, known_at timestamptz
WITH compared AS (
    SELECT s.record_id,
           bool_or((t.sim_key, t.kind, t.started_at, t.ended_at) IS DISTINCT FROM (s.sim_key, s.kind, s.started_at, s.ended_at)
                   OR t.day = s.day AND (t.bytes, t.bytes_rx, t.sms) IS DISTINCT FROM (s.bytes, s.bytes_rx, s.sms)) AS differs
    FROM staged AS s
    JOIN own.stream_usage AS t ON t.organization_id = (SELECT ops.current_organization()) AND t.record_id = s.record_id
    GROUP BY s.record_id
), written AS (
    INSERT INTO own.stream_usage
        (organization_id, record_id, sim_key, day, kind, started_at, ended_at, bytes, bytes_rx, sms, known_at)
    SELECT (SELECT ops.current_organization()), record_id, sim_key, day, kind, started_at, ended_at, bytes, bytes_rx, sms, known_at
    FROM staged WHERE record_id NOT IN (SELECT record_id FROM compared)
    ORDER BY record_id, day  -- in the order of the key, whose index then stays dense
    ON CONFLICT (organization_id, record_id, day) DO NOTHING
    RETURNING sim_key, day
), touched AS (  -- days that are booked already, to be booked again
    INSERT INTO ops.usage_touched AS w (organization_id, sim_key, stream_day)
    SELECT (SELECT ops.current_organization()), sim_key, min(day) FROM written
    WHERE day <= (SELECT streamed_to FROM ops.usage_book) GROUP BY sim_key ORDER BY sim_key
    ON CONFLICT (sim_key) DO UPDATE SET stream_day = least(w.stream_day, excluded.stream_day)
), differing AS (
    SELECT record_id FROM compared WHERE differs
)
SELECT (SELECT count(*) FROM written) AS new,
       (SELECT count(*) FROM staged) - (SELECT count(*) FROM written)
           - (SELECT count(*) FROM staged WHERE record_id IN (SELECT record_id FROM differing)) AS unchanged,
       ARRAY(SELECT record_id FROM differing) AS differing;
