-- Anomalies belong to the incidents staged. Primary key.
-- staged: sim_key integer, day date, kind text, incident_id bigint
UPDATE predictions.anomalies AS a SET incident_id = s.incident_id
FROM staged AS s WHERE (a.sim_key, a.day, a.kind) = (s.sim_key, s.day, s.kind) AND a.incident_id IS DISTINCT FROM s.incident_id;
