-- What was known of SIMs when their tickets were opened: one row a pair of %(iccids)s (text[]) and %(moments)s (timestamptz[]): place
-- (0 for the first pair), iccid, and the columns of ml.tickets.evidence.FACTS_SCHEMA. Nothing later than the moment counts. Primary keys.
SELECT w.place - 1 AS place, s.iccid, l.state,
       q.amount_left AS data_left_bytes, q.amount_total AS data_total_bytes, m.amount_left AS sms_left,
       CASE WHEN x.exhausted_at > x.topped_up_at OR x.topped_up_at IS NULL THEN x.exhausted_at END AS quota_exhausted_at,
       -- events of long ago may never have been stored: that none is there says nothing of a SIM activated before
       x.attached_at IS NULL AND c.located_at IS NULL AND u.day IS NULL AND coalesce(s.activated_at > w.at, true) AS never_attached,
       l.state = 'silent' AS silent,
       NULL::boolean AS blocked,
       greatest(x.attached_at, c.located_at, u.day + time '23:59:59' AT TIME ZONE 'UTC') AS last_activity_at,
       q.expires_at
FROM unnest(%(iccids)s::text[], %(moments)s::timestamptz[]) WITH ORDINALITY AS w (iccid, at, place)
JOIN core.sims AS s ON s.iccid = w.iccid
LEFT JOIN LATERAL (
    SELECT amount_left, amount_total, expires_at FROM own.sim_quota
    WHERE sim_key = s.sim_key AND kind = 'data' AND day <= (w.at AT TIME ZONE 'UTC')::date AND observed_at <= w.at
    ORDER BY day DESC LIMIT 1
) AS q ON true
LEFT JOIN LATERAL (
    SELECT amount_left FROM own.sim_quota
    WHERE sim_key = s.sim_key AND kind = 'sms' AND day <= (w.at AT TIME ZONE 'UTC')::date AND observed_at <= w.at
    ORDER BY day DESC LIMIT 1
) AS m ON true
LEFT JOIN LATERAL (
    SELECT located_at FROM own.sim_connectivity
    WHERE sim_key = s.sim_key AND day <= (w.at AT TIME ZONE 'UTC')::date AND located_at <= w.at
    ORDER BY day DESC LIMIT 1
) AS c ON true
CROSS JOIN LATERAL (
    SELECT max(occurred_at) FILTER (WHERE event_type ~* '^data quota .*to ''?exhausted') AS exhausted_at,
           max(occurred_at) FILTER (WHERE event_type ~* '^data quota topped up') AS topped_up_at,
           max(occurred_at) FILTER (WHERE country IS NOT NULL OR operator IS NOT NULL) AS attached_at
    FROM own.sim_events WHERE sim_key = s.sim_key AND occurred_at <= w.at
) AS x
LEFT JOIN LATERAL (  -- a day counts when it has ended
    SELECT day FROM own.sim_usage
    WHERE sim_key = s.sim_key AND day < (w.at AT TIME ZONE 'UTC')::date
        AND (bytes > 0 OR sms_mt > 0 OR sms_mo > 0 OR sms_unsplit > 0)
    ORDER BY day DESC LIMIT 1
) AS u ON true
LEFT JOIN LATERAL (  -- as of a day that had ended by then
    SELECT to_value AS state FROM core.sim_lifecycle
    WHERE sim_key = s.sim_key AND kind = 'state' AND as_of < (w.at AT TIME ZONE 'UTC')::date
    ORDER BY occurred_on DESC, entry_id DESC LIMIT 1
) AS l ON true
ORDER BY w.place;
