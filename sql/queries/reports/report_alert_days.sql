-- One row a day, the last %(days)s up to %(as_of)s: alerts open as of the day, opened and closed on it. Index: alerts_by_organization.
-- Of the SIMs with the keys %(sims)s; NULL: all.
SELECT d.day::date AS day,
       count(*) FILTER (WHERE a.opened_as_of <= d.day AND (a.closed_as_of IS NULL OR a.closed_as_of > d.day)) AS open,
       count(*) FILTER (WHERE a.opened_as_of = d.day) AS opened, count(*) FILTER (WHERE a.closed_as_of = d.day) AS closed
FROM generate_series(%(as_of)s::date - %(days)s::integer + 1, %(as_of)s::date, interval '1 day') AS d (day)
LEFT JOIN predictions.alerts AS a ON a.opened_as_of <= d.day AND (a.closed_as_of IS NULL OR a.closed_as_of >= d.day)
    AND (%(sims)s::integer[] IS NULL OR a.sim_key = ANY(%(sims)s::integer[]))
GROUP BY d.day ORDER BY d.day;
