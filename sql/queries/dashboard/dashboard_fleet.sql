-- One row: the fleet as the dashboard shows it, as of the latest day, with the days of data it lacks by now and the alerts that are open.
-- Parameters: none. Indexes: fleet_summaries_pkey, alerts_open.
SELECT f.as_of, f.content, f.created_at, o.slug AS organization
FROM core.organizations AS o
LEFT JOIN LATERAL (SELECT as_of, content, created_at FROM predictions.fleet_summaries ORDER BY as_of DESC LIMIT 1) AS f ON true
