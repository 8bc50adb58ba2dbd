-- What the routes of one SIM's history and of freshness read.
SET LOCAL ROLE simsight_owner;

CREATE INDEX alerts_by_sim ON predictions.alerts (sim_key, opened_at DESC);

CREATE FUNCTION ops.sim_actions(wanted text) RETURNS TABLE (
    action_id bigint, kind text, requested_by text, requested_at timestamptz, state text, sent_at timestamptz, message text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT r.action_id, r.kind, r.requested_by, r.requested_at, r.state, r.sent_at, r.message
    FROM ops.action_requests AS r
    JOIN core.sims AS s USING (sim_key)
    WHERE r.organization_id = (SELECT ops.current_organization()) AND s.organization_id = r.organization_id AND s.iccid = wanted;
END;
COMMENT ON FUNCTION ops.sim_actions(text) IS 'Actions on a SIM of the organization of the session';
REVOKE ALL ON FUNCTION ops.sim_actions(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.sim_actions(text) TO simsight_api, simsight_pipeline;

CREATE FUNCTION ops.source_passes() RETURNS TABLE (source text, asked_at timestamptz, under_way_since timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT w.source, max(w.finished_at), max(w.started_at) FILTER (WHERE w.finished_at IS NULL)
    FROM ops.sweeps AS w
    WHERE w.organization_id = (SELECT ops.current_organization())
    GROUP BY w.source;
END;
COMMENT ON FUNCTION ops.source_passes() IS
    'One row a call of 1NCE: when its last complete pass over the fleet ended and since when one is under way, for the organization of the session';
REVOKE ALL ON FUNCTION ops.source_passes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.source_passes() TO simsight_api, simsight_pipeline;

-- when the anomaly detector last looked at a SIM; its limits stay the pipeline's
GRANT SELECT (sim_key, organization_id, as_of, model_version, prepared_at) ON predictions.anomaly_state TO simsight_api;
