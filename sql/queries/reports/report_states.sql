-- One row a state: SIMs with the keys %(sims)s that were in it on %(as_of)s. Primary key.
SELECT state, count(*) AS sims FROM (
    SELECT DISTINCT ON (sim_key) sim_key, to_value AS state FROM core.sim_lifecycle
    WHERE kind = 'state' AND occurred_on <= %(as_of)s AND sim_key = ANY(%(sims)s::integer[])
    ORDER BY sim_key, occurred_on DESC, entry_id DESC
) AS s GROUP BY state ORDER BY sims DESC, state;
