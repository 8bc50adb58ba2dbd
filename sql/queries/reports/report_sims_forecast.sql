-- The forecasts of SIMs as of %(as_of)s added up, one row a day: mean (bytes, millionths of a MB) of the SIMs with the keys %(sims)s. An interval of
-- the sum is not known. Index: usage_forecasts_by_as_of.
SELECT day, sum(mean)::bigint AS mean FROM predictions.usage_forecasts
WHERE as_of = %(as_of)s AND sim_key = ANY(%(sims)s::integer[])
GROUP BY day ORDER BY day;
