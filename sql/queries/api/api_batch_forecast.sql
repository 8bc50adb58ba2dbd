-- One row a SIM of a list with a forecast: its latest as-of day and what it is expected to use on the next days, in bytes. sim: its ICCID.
-- Parameters: iccids text[]. Indexes: sims_organization_id_iccid_key, usage_forecasts_pkey.
WITH sims AS MATERIALIZED (  -- the look-up once a SIM
    SELECT iccid, sim_key, forecast_as_of FROM core.sim_newest WHERE iccid = ANY (%(iccids)s::text[])
)

SELECT s.forecast_as_of AS as_of, r.model_name, r.model_version, f.next_7_days, f.next_30_days, s.iccid AS sim
FROM sims AS s
CROSS JOIN LATERAL (
    SELECT max(x.scoring_id) AS scoring_id, sum(x.mean) FILTER (WHERE x.day <= s.forecast_as_of + 7)::bigint AS next_7_days,
           sum(x.mean)::bigint AS next_30_days
    FROM predictions.usage_forecasts AS x WHERE x.sim_key = s.sim_key AND x.as_of = s.forecast_as_of AND x.day <= s.forecast_as_of + 30
) AS f
JOIN predictions.scorings AS r USING (scoring_id)
WHERE s.forecast_as_of IS NOT NULL
