-- What the alert rules need to know of every SIM, with the latest scoring of %(as_of)s. Index exhaustions primary key.
SELECT s.sim_key, s.status, e.scoring_id, e.status AS exhaustion_status, e.p_14, e.p50_date
FROM core.sims AS s LEFT JOIN predictions.exhaustions AS e ON e.sim_key = s.sim_key AND e.as_of = %(as_of)s
ORDER BY s.sim_key;
