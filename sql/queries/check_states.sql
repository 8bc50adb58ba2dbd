-- SIMs by state, of those that were listed when the state machine last ran; none: SIMs without a state.
SELECT coalesce(t.state, 'none') AS state, count(*) AS sims
FROM core.sims AS s LEFT JOIN core.sim_states AS t USING (sim_key)
WHERE s.first_seen_at <= (SELECT max(started_at) FROM ops.sweeps WHERE source = 'lifecycle' AND finished_at IS NOT NULL)
GROUP BY 1 ORDER BY 1;
