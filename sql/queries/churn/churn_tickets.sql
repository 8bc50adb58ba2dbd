-- Tickets about SIMs, of the keys in %(sim_keys)s, one row a ticket opened up to %(as_of)s (date): sim_key, day. ticket_classes_by_sim.
SELECT c.sim_key, (t.created_at AT TIME ZONE 'UTC')::date AS day
FROM predictions.ticket_classes AS c JOIN core.tickets AS t USING (organization_id, case_id)
WHERE c.sim_key = ANY(%(sim_keys)s::integer[]) AND t.created_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC'
    AND t.created_at >= (%(as_of)s::date - %(days)s::integer)::timestamp AT TIME ZONE 'UTC'
ORDER BY c.sim_key, day;
