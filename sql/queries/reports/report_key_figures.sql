-- One row: how many SIMs there are, are activated, were active in the last 7 days, and how many end or have ended.
-- Parameters: as_of date, probability double precision from which a SIM is counted as ending. `scored` is 0 without predictions.
-- Of the SIMs with the keys sims; NULL: all. Indexes: sim_usage_by_day, exhaustions_by_as_of.
SELECT (SELECT count(*) FROM core.sims WHERE (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))) AS sims,
       (SELECT count(*) FROM core.sims WHERE (activated_at AT TIME ZONE 'UTC')::date <= %(as_of)s::date
            AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))) AS activated,
       (SELECT count(DISTINCT sim_key) FROM core.sim_usage
        WHERE day > %(as_of)s::date - 7 AND day <= %(as_of)s AND bytes > 0
            AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))) AS active_7,
       count(*) AS scored,
       count(*) FILTER (WHERE NOT ended AND p_7 >= %(probability)s) AS ends_7,
       count(*) FILTER (WHERE NOT ended AND p_14 >= %(probability)s) AS ends_14,
       count(*) FILTER (WHERE NOT ended AND p_30 >= %(probability)s) AS ends_30,
       count(*) FILTER (WHERE status = 'exhausted') AS exhausted,
       count(*) FILTER (WHERE status = 'expired') AS expired,
       count(*) FILTER (WHERE status = 'not_enough_evidence') AS unsure
FROM (SELECT *, status IN ('exhausted', 'expired') AS ended FROM predictions.exhaustions
      WHERE as_of = %(as_of)s AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))) AS e;
