-- The places of SIMs in sorted lists, so that a page far into one costs what the first does.
SET LOCAL ROLE simsight_owner;

CREATE TABLE predictions.sim_places (
    sim_key integer PRIMARY KEY REFERENCES core.sims ON DELETE CASCADE,
    organization_id smallint NOT NULL,
    iccid text NOT NULL,
    by_remaining double precision NOT NULL DEFAULT 'Infinity',
    by_ends_on double precision NOT NULL DEFAULT 'Infinity',
    by_last_used double precision NOT NULL DEFAULT 'Infinity'
);
COMMENT ON TABLE predictions.sim_places IS
    'One row a SIM, from when it is first seen: its place in sorted lists, least first; written with the report. Infinity: last, as the value is not known';
COMMENT ON COLUMN predictions.sim_places.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN predictions.sim_places.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.sim_places.iccid IS 'Its ICCID, by which equals are sorted';
COMMENT ON COLUMN predictions.sim_places.by_remaining IS 'Data volume left, in bytes (millionths of a MB)';
COMMENT ON COLUMN predictions.sim_places.by_ends_on IS 'Median day of its end, in days since 2000-01-01';
COMMENT ON COLUMN predictions.sim_places.by_last_used IS 'Last UTC day with data or SMS, in days since 2000-01-01';
SELECT ops.guard('predictions.sim_places');

INSERT INTO predictions.sim_places (sim_key, organization_id, iccid, by_remaining, by_ends_on, by_last_used)
SELECT s.sim_key, s.organization_id, s.iccid, coalesce(m.remaining, 'Infinity'::double precision), coalesce(m.ends_on - date '2000-01-01', 'Infinity'::double precision),
       coalesce(m.last_used_on - date '2000-01-01', 'Infinity'::double precision)
FROM core.sims AS s
LEFT JOIN predictions.sim_summaries AS m USING (sim_key);

CREATE INDEX sim_places_by_remaining ON predictions.sim_places (organization_id, by_remaining, iccid);
CREATE INDEX sim_places_by_ends_on ON predictions.sim_places (organization_id, by_ends_on, iccid);
CREATE INDEX sim_places_by_last_used ON predictions.sim_places (organization_id, by_last_used, iccid);

CREATE FUNCTION predictions.place_new_sims() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO predictions.sim_places (sim_key, organization_id, iccid) SELECT sim_key, organization_id, iccid FROM added;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION predictions.place_new_sims() IS 'Puts SIMs that are new last in sorted lists, until the next report';
CREATE TRIGGER placed AFTER INSERT ON core.sims REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION predictions.place_new_sims();
