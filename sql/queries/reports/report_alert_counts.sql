-- One row a severity and kind: alerts open as of %(as_of)s. Index: alerts_by_organization.
-- Of the SIMs with the keys %(sims)s; NULL: all.
SELECT severity, kind, count(*) AS alerts FROM predictions.alerts
WHERE opened_as_of <= %(as_of)s AND (closed_as_of IS NULL OR closed_as_of > %(as_of)s)
    AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))
GROUP BY severity, kind ORDER BY severity, kind;
