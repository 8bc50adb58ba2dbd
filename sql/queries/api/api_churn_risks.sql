-- One row a SIM: the highest risk within 90 days first, then as they were first seen.
-- Parameters: as_of date or NULL for the latest; level, cause and label text or NULL for any; the last row seen as p_90 double precision and
-- iccid text (2 and '' for the first page); rows integer. Indexes: churn_risks_by_as_of, for each part of what comes after the last row; those of
-- api_churn_risk for each row.
WITH day AS MATERIALIZED (
    SELECT CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (SELECT max(as_of) FROM predictions.churn_risks) END AS as_of
), last AS MATERIALIZED (
    SELECT coalesce((SELECT sim_key FROM core.sims WHERE iccid = %(iccid)s::text), 0) AS sim_key
), placed AS NOT MATERIALIZED (
    SELECT c.as_of, c.p_90, c.sim_key
    FROM predictions.churn_risks AS c
    WHERE c.as_of = (SELECT as_of FROM day)
      AND (%(level)s::text IS NULL OR c.risk_level = %(level)s::text)
      AND (%(cause)s::text IS NULL OR c.cause = %(cause)s::text)
      AND (%(label)s::text IS NULL OR EXISTS (
          SELECT FROM core.sims AS s WHERE s.sim_key = c.sim_key AND coalesce(s.own_label, s.label) = %(label)s::text))
), page AS MATERIALIZED (
    (
        SELECT * FROM placed
        WHERE p_90 <= %(p_90)s::double precision AND p_90 >= %(p_90)s::double precision AND sim_key > (SELECT sim_key FROM last)
        ORDER BY p_90 DESC, sim_key LIMIT %(rows)s
    ) UNION ALL (
        SELECT * FROM placed WHERE p_90 < %(p_90)s::double precision ORDER BY p_90 DESC, sim_key LIMIT %(rows)s
    )
    ORDER BY p_90 DESC, sim_key
    LIMIT %(rows)s
)
SELECT c.iccid, c.label, c.as_of, c.p_30, c.p_60, c.p_90, c.p_180, c.p_dead_device, c.p_switched_off, c.p_swapped, c.p_exhausted, c.p_expired,
       c.any_end, c.risk_level, c.cause, c.reasons, c.contributions, c.action, c.held_out, c.value_minor, c.currency, c.worth, c.decision,
       c.decision_reason, c.decided_by, c.decided_at, c.model_name, c.model_version, c.learnt_from, c.run_id, c.created_at
FROM page AS p
JOIN core.sims AS s USING (sim_key)
JOIN predictions.churn_risks_v1 AS c ON c.iccid = s.iccid AND c.as_of = p.as_of
ORDER BY p.p_90 DESC, p.sim_key
