-- The SIMs whose risk as of %(as_of)s is worth most, at most %(top)s, in the order of churn_first; total: how many there are; starter: whether the starter model
-- says so. Of the SIMs with the
-- keys %(sims)s; NULL: all. Index churn_risks_by_as_of.
SELECT s.iccid, coalesce(s.own_label, s.label) AS label, c.p_90, c.risk_level, c.cause, c.value_minor, c.currency, c.reasons,
       CASE WHEN c.held_out THEN 'none: hold-out' ELSE c.action END AS action, count(*) OVER () AS total,
       (SELECT b.metrics ? 'starter' FROM predictions.scorings AS r JOIN predictions.backtests AS b USING (model_name, model_version)
        WHERE r.scoring_id = c.scoring_id) AS starter
FROM predictions.churn_risks AS c JOIN core.sims AS s USING (sim_key)
WHERE c.as_of = %(as_of)s AND (%(sims)s::integer[] IS NULL OR c.sim_key = ANY(%(sims)s::integer[]))
ORDER BY c.worth DESC, c.p_90 DESC, s.iccid LIMIT %(top)s;
