-- When SIMs from %(first_key)s to %(last_key)s run out, as of %(as_of)s: probabilities and dates of predictions.exhaustions. Primary key.
SELECT sim_key, p_30, p_90, p10_date, p50_date, p90_date, expires_on FROM predictions.exhaustions
WHERE as_of = %(as_of)s AND sim_key BETWEEN %(first_key)s AND %(last_key)s
ORDER BY sim_key;
