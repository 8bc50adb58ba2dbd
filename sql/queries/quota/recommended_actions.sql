-- What is recommended as of %(as_of)s but "nothing", one row a SIM, in the order of their keys; money in minor units. Primary key.
SELECT action, saving_minor AS saving, saving_p10_minor AS saving_p10, saving_p90_minor AS saving_p90, spend_minor AS spend, outage_days
FROM predictions.quota_recommendations
WHERE as_of = %(as_of)s AND action <> 'nothing'
ORDER BY sim_key;
