-- One row a UTC day of a SIM's usage, oldest first; volumes in bytes (millionths of a MB).
-- Parameters: iccid text; first_day and last_day date, both included, or NULL for the `days` days that end with last_day and for the last
-- day with a record; rows integer, at most so many. Indexes: sims_organization_id_iccid_key, sim_usage_key.
-- CASE and not coalesce: row-level security would keep coalesce out of the index condition, as not known to be leakproof.
SELECT day, bytes AS total, bytes_rx AS received, bytes_tx AS sent, sms_mt, sms_mo, known_at
FROM core.sim_usage_v1
WHERE iccid = %(iccid)s::text
  AND day >= CASE WHEN %(first_day)s::date IS NOT NULL THEN %(first_day)s::date
                  WHEN %(last_day)s::date IS NOT NULL THEN %(last_day)s::date - %(days)s::integer + 1
                  ELSE (SELECT n.usage_day FROM core.sim_newest AS n WHERE n.iccid = %(iccid)s::text) - %(days)s::integer + 1 END
  AND day <= CASE WHEN %(last_day)s::date IS NOT NULL THEN %(last_day)s::date ELSE 'infinity'::date END
ORDER BY day
LIMIT %(rows)s::integer
