-- One row a state: SIMs in it, of the SIMs as they are listed. Parameters: none.
SELECT state, count(*) AS sims FROM core.sim_states GROUP BY state ORDER BY sims DESC, state
