-- One row a scored SIM and as-of day of %(first)s to %(last)s that has not ended: probability that it ends within 30 days. exhaustions_by_as_of.
SELECT sim_key, as_of AS day, p_30 AS value
FROM predictions.exhaustions
WHERE as_of BETWEEN %(first)s::date AND %(last)s::date AND status NOT IN ('exhausted', 'expired')
