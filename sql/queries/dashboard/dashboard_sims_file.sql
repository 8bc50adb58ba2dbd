-- One row a chosen SIM, for a file; volumes in MB. Parameters: those of dashboard_chosen_sims.
SELECT iccid, label, coalesce(state, 'unknown') AS state, country, operator, status, imei, msisdn, ip_address,
       last_used_on, used_30 / 1e6::numeric AS used_30_days_mb, remaining / 1e6::numeric AS remaining_mb, quota_total / 1e6::numeric AS quota_total_mb,
       ends_on, risk_level, alerts AS open_alerts, as_of
FROM (
{part}
) AS chosen
ORDER BY iccid
