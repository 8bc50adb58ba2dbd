-- Anomalies of the days under way since %(first)s, one row a SIM, day and kind. anomalies_by_day.
SELECT sim_key, day, kind, severity, first_day, model_version FROM predictions.anomalies
WHERE live AND day >= %(first)s ORDER BY sim_key, day, kind;
