-- One row: the last complete day with usage, NULL without any. Each month back to the last with a row is looked at once.
-- Parameters: today date.
SELECT max(day) AS last_day FROM core.sim_usage WHERE day < %(today)s::date
