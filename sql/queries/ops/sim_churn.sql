-- One row: the latest risk that a SIM leaves. Parameters: iccid text. sims_organization_id_iccid_key, primary key.
SELECT as_of, p_30, p_90, risk_level, cause, reasons, action, model_name, model_version, learnt_from
FROM predictions.churn_risks_v1 WHERE iccid = %(iccid)s ORDER BY as_of DESC LIMIT 1
