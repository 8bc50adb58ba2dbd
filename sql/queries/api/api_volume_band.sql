-- One row: about how much of a SIM's data volume is left, in a word and nothing finer; none for an unknown SIM.
-- as_of: the UTC day of the look at the quota; NULL where only the SIM list's own status is known.
-- Parameters: iccid text. Indexes: sims_organization_id_iccid_key, sim_quota_pkey.
SELECT s.iccid, q.day AS as_of,
       CASE WHEN q.amount_left <= 0 THEN 'empty'
            WHEN q.amount_left IS NULL OR coalesce(q.amount_total, s.quota_total, 0) <= 0
                THEN CASE s.quota_status WHEN 2 THEN 'empty' WHEN 1 THEN 'low' ELSE 'unknown' END
            WHEN q.amount_left <= 0.2 * coalesce(q.amount_total, s.quota_total) THEN 'low'
            WHEN q.amount_left <= 0.6 * coalesce(q.amount_total, s.quota_total) THEN 'half'
            ELSE 'plenty' END AS band
FROM core.sims AS s
LEFT JOIN core.sim_last_quota AS q ON q.iccid = %(iccid)s::text
WHERE s.iccid = %(iccid)s::text
