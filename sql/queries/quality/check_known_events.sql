-- The twenty most frequent types of SIM events since %(first)s that are none of %(known)s, and how many events all unknown types have;
-- of the Data Streamer (%(streamed)s) or asked for. Chunk exclusion.
SELECT event_type, count(*) AS events, (sum(count(*)) OVER ())::bigint AS of_all_unknown
FROM own.sim_events
WHERE occurred_at >= %(first)s::date AND (record_id IS NOT NULL) = %(streamed)s::boolean
    AND event_type <> ALL (%(known)s::text[]) AND event_type NOT LIKE 'Status of SIM changed from %%'
GROUP BY event_type ORDER BY events DESC, event_type LIMIT 20;
