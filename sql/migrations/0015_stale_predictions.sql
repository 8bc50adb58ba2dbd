-- Which days' predictions rest on usage that was corrected since, and the corrections themselves as downstream apps read them.
SET LOCAL ROLE simsight_owner;

CREATE TABLE ops.stale_predictions (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    as_of date NOT NULL,
    part text NOT NULL CHECK (part IN ('usage_forecasts', 'exhaustions')),
    sims integer NOT NULL,
    first_day date NOT NULL,
    marked_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, as_of, part)
);
COMMENT ON TABLE ops.stale_predictions IS 'One row an as-of day and kind of prediction to be computed again: usage it rests on was corrected or came late';
COMMENT ON COLUMN ops.stale_predictions.organization_id IS 'Organization';
COMMENT ON COLUMN ops.stale_predictions.as_of IS 'As-of day of the predictions';
COMMENT ON COLUMN ops.stale_predictions.part IS 'Which predictions: usage_forecasts or exhaustions';
COMMENT ON COLUMN ops.stale_predictions.sims IS 'SIMs it concerns; a SIM corrected in two loads counts twice';
COMMENT ON COLUMN ops.stale_predictions.first_day IS 'Earliest usage day that changed';
COMMENT ON COLUMN ops.stale_predictions.marked_at IS 'When the last change came (server''s clock, UTC)';
SELECT ops.guard('ops.stale_predictions', api_reads => false);

CREATE VIEW core.sim_usage_corrections_v1 WITH (security_invoker = true) AS
SELECT r.organization_id, s.iccid, r.day, r.bytes, r.bytes_rx, r.sms_mt, r.sms_mo, r.known_from, r.known_to
FROM core.sim_usage_replaced AS r JOIN core.sims AS s USING (sim_key);
COMMENT ON VIEW core.sim_usage_corrections_v1 IS 'One row a value of a closed SIM-day that a later one replaced: what was believed, from when to when (UTC). bytes: millionths of a MB';
GRANT SELECT ON core.sim_usage_corrections_v1 TO simsight_pipeline, simsight_api;
