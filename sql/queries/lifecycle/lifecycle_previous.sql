-- The state each SIM with a key of the block was last found in, with what is remembered of it.
SELECT sim_key, state, since, cause, off_on, resumed_on FROM core.sim_states WHERE sim_key BETWEEN %(first_key)s AND %(last_key)s ORDER BY sim_key;
