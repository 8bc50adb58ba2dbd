-- One row a SIM and as-of day of %(first)s to %(last)s: its churn risk, once there is a model that says it.
SELECT sim_key, as_of AS day, risk AS value
FROM predictions.churn_risks WHERE as_of BETWEEN %(first)s::date AND %(last)s::date
