-- One row a SIM and day of %(first)s to %(last)s: the highest score of its anomalies that day, 0 without one, up to the last day looked at.
-- What belongs to an incident is the incident's alert, not one of each of its SIMs. anomalies_by_day.
SELECT s.sim_key, d.day::date AS day, coalesce(a.score, 0) AS value
FROM core.sims AS s
CROSS JOIN generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS d (day)
LEFT JOIN (
    SELECT sim_key, day, max(score) AS score FROM predictions.anomalies
    WHERE day BETWEEN %(first)s::date AND %(last)s::date AND incident_id IS NULL
    GROUP BY sim_key, day
) AS a ON a.sim_key = s.sim_key AND a.day = d.day::date
WHERE d.day <= (SELECT max(as_of) FROM predictions.anomalies)
