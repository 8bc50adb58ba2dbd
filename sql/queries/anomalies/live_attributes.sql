-- What the SIMs of the fleet have in common, as prepared with their limits: one row each SIM with an anomaly on a day under way since
-- %(first)s; the others by how many are alike, sim_key NULL. One pass over predictions.anomaly_state.
WITH odd AS MATERIALIZED (
    SELECT DISTINCT sim_key FROM predictions.anomalies WHERE live AND day >= %(first)s
)
SELECT o.sim_key, t.device_type, t.label_prefix, t.country, t.operator, t.batch, count(*) AS sims
FROM predictions.anomaly_state AS t LEFT JOIN odd AS o USING (sim_key)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6;
