-- One row a SIM, the first %(top)s to end as of %(as_of)s, ended ones left out. Where only the expiry is sure, it is the date.
-- remaining: bytes (millionths of a MB); total: SIMs with a date at all. Index: exhaustions_by_as_of.
-- Of the SIMs with the keys %(sims)s; NULL: all.
SELECT s.iccid, coalesce(s.own_label, s.label) AS label, e.status, e.ends_on, e.p10_date, e.p90_date, e.p_14, e.remaining, e.cause, e.total
FROM (
    SELECT *, count(*) OVER () AS total
    FROM (
        SELECT sim_key, status, p10_date, p90_date, p_14, remaining,
               CASE WHEN status = 'not_enough_evidence' THEN CASE WHEN p_30 = 1 THEN expires_on END ELSE p50_date END AS ends_on,
               CASE WHEN status = 'not_enough_evidence' THEN 'expiry' ELSE cause END AS cause
        FROM predictions.exhaustions
        WHERE as_of = %(as_of)s AND status NOT IN ('exhausted', 'expired') AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))
    ) AS dated
    WHERE ends_on IS NOT NULL
    ORDER BY ends_on, p_14 DESC, sim_key LIMIT %(top)s
) AS e JOIN core.sims AS s USING (sim_key)
ORDER BY e.ends_on, e.p_14 DESC, s.iccid;
