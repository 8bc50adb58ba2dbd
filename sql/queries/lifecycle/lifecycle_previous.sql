-- The state each SIM was last found in, with what is remembered of it.
SELECT sim_key, state, since, cause, off_on, resumed_on FROM core.sim_states ORDER BY sim_key;
