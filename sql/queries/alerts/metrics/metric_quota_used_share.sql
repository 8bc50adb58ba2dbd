-- One row a scored SIM and as-of day of %(first)s to %(last)s: used share of its data volume, by what the scoring of the day knew to be left
-- and the total of the observation nearest before it (else the first after it). exhaustions primary key, sim_quota_by_day.
WITH observed AS (
    SELECT sim_key, amount_total, lead(day) OVER of_sim AS until,
           CASE WHEN row_number() OVER of_sim > 1 THEN day ELSE '-infinity' END AS since
    FROM core.sim_quota
    WHERE kind = 'data' AND amount_total > 0 AND day BETWEEN %(first)s::date - 62 AND %(last)s::date + 7
    WINDOW of_sim AS (PARTITION BY sim_key ORDER BY day)
)
SELECT e.sim_key, e.as_of AS day, 1 - e.remaining / o.amount_total::double precision AS value
FROM predictions.exhaustions AS e
JOIN observed AS o ON o.sim_key = e.sim_key AND e.as_of >= o.since AND e.as_of < coalesce(o.until, 'infinity')
WHERE e.as_of BETWEEN %(first)s::date AND %(last)s::date AND e.remaining IS NOT NULL
