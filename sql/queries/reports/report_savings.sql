-- One row: money of the SIMs with the keys %(sims)s as of %(as_of)s, in minor units: what is at stake in a year if nothing is done, what the
-- recommended actions save of that, and how many there are. Index of predictions.quota_recommendations by day.
SELECT currency, sum(cost_minor + saving_minor)::bigint AS at_stake_minor, sum(saving_minor)::bigint AS saving_minor,
       count(*) FILTER (WHERE action <> 'nothing') AS actions
FROM predictions.quota_recommendations
WHERE as_of = %(as_of)s AND sim_key = ANY(%(sims)s::integer[])
GROUP BY currency ORDER BY count(*) DESC LIMIT 1;
