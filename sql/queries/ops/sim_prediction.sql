-- One row: the latest prediction of a SIM's end. Primary key.
SELECT as_of, status, cause, p_14, p_30, p10_date, p50_date, p90_date, expires_on, data_grade, model_name, model_version
FROM predictions.exhaustions_v1 WHERE iccid = %(iccid)s ORDER BY as_of DESC LIMIT 1
