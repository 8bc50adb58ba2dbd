-- One row: SIMs that were listed by the last evaluated day and have no state, and how far the counts of the last evaluated day
-- are from the number of SIMs with a state.
SELECT (SELECT count(*) FROM core.sim_states) AS sims,
       (SELECT count(*) FROM core.sims AS s
        WHERE (s.first_seen_at AT TIME ZONE 'UTC')::date <= last.as_of
            AND NOT EXISTS (SELECT FROM core.sim_states AS t WHERE t.sim_key = s.sim_key)
       ) AS without_state,
       (SELECT coalesce(sum(c.sims), 0) FROM core.sim_state_counts AS c WHERE c.as_of = last.as_of AND c.state <> 'ordered')
           - (SELECT count(*) FROM core.sim_states) AS difference
FROM (SELECT max(as_of) AS as_of FROM core.sim_state_counts) AS last;
