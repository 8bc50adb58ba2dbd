-- One row a SIM of a list, as api_exhaustion for its latest as-of day. sim: its ICCID.
-- Parameters: iccids text[]. Indexes: sims_organization_id_iccid_key, exhaustions_pkey.
SELECT v.model_name, v.model_version, v.run_id, v.as_of, v.created_at, v.data_age_hours, v.data_grade, v.iccid, v.label, v.status,
       v.cause, v.p_7, v.p_14, v.p_30, v.p10_date, v.p50_date, v.p90_date, v.remaining, v.expires_on, v.p_90, v.topup_date,
       v.topups_30, v.p_limit, v.limit_date, v.sms_remaining, v.sms_status, v.sms_p_7, v.sms_p_14, v.sms_p_30, v.sms_p_90,
       v.sms_p10_date, v.sms_p50_date, v.sms_p90_date, s.iccid AS sim
FROM core.sims AS s
CROSS JOIN LATERAL (SELECT max(x.as_of) AS as_of FROM predictions.exhaustions AS x WHERE x.sim_key = s.sim_key) AS l
JOIN predictions.exhaustions_v1 AS v ON v.iccid = s.iccid AND v.as_of = l.as_of
WHERE s.iccid = ANY (%(iccids)s::text[])
