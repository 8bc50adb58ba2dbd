-- Events from %(first)s on, by day and severity.
SELECT (occurred_at AT TIME ZONE 'UTC')::date AS occurred_on, severity, count(*) AS events
FROM own.sim_events WHERE occurred_at >= %(first)s::date
GROUP BY 1, 2 ORDER BY 1, 2;
