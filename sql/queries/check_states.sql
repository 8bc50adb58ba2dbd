-- SIMs by state, with those that have none.
SELECT coalesce(t.state, 'none') AS state, count(*) AS sims FROM core.sims AS s LEFT JOIN core.sim_states AS t USING (sim_key) GROUP BY 1 ORDER BY 1;
