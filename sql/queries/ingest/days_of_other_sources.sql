-- Days of some SIMs from %(first)s to %(last)s that the book has from the Data Streamer or from quotas. Primary key of core.sim_usage.
SELECT sim_key, day FROM own.sim_usage
WHERE sim_key = ANY(%(sim_keys)s::integer[]) AND day BETWEEN %(first)s AND %(last)s AND source IN ('s', 'q');
