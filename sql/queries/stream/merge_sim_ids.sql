-- 1NCE's numbers of SIMs and of their IMSIs, as records that also have the ICCID give them. A number that is not given stays as it is.
-- Index sim_ids_pkey.
-- staged: sim_key integer, sim_id bigint, imsi_id bigint
WITH changed AS (
    SELECT s.sim_key, coalesce(s.sim_id, t.sim_id) AS sim_id, coalesce(s.imsi_id, t.imsi_id) AS imsi_id, t.sim_key IS NULL AS is_new
    FROM staged AS s LEFT JOIN core.sim_ids AS t ON t.sim_key = s.sim_key
    WHERE (coalesce(s.sim_id, t.sim_id), coalesce(s.imsi_id, t.imsi_id)) IS DISTINCT FROM (t.sim_id, t.imsi_id)
), written AS (
    INSERT INTO core.sim_ids (organization_id, sim_key, sim_id, imsi_id)
    SELECT (SELECT ops.current_organization()), sim_key, sim_id, imsi_id FROM changed ORDER BY sim_key
    ON CONFLICT (sim_key) DO UPDATE SET sim_id = excluded.sim_id, imsi_id = excluded.imsi_id
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE NOT is_new) AS changed,
       (SELECT count(*) FROM staged) - count(*) AS unchanged
FROM changed;
