-- One row a SIM and as-of day of %(first)s to %(last)s: its risk of leaving within 90 days.
SELECT sim_key, as_of AS day, p_90 AS value
FROM predictions.churn_risks WHERE as_of BETWEEN %(first)s::date AND %(last)s::date
