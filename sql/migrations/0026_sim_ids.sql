-- Records of Data Streamer 2.0 may name their SIM by 1NCE's numbers, its IMSI or the IMEI of its device instead of its ICCID.
SET LOCAL ROLE simsight_owner;

CREATE TABLE core.sim_ids (
    sim_key integer PRIMARY KEY REFERENCES core.sims,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    sim_id bigint,
    imsi_id bigint
);
COMMENT ON TABLE core.sim_ids IS 'One row a SIM whose numbers with 1NCE are known, learnt from records of the Data Streamer that also had its ICCID';
COMMENT ON COLUMN core.sim_ids.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN core.sim_ids.organization_id IS 'Organization';
COMMENT ON COLUMN core.sim_ids.sim_id IS '1NCE''s number of the SIM';
COMMENT ON COLUMN core.sim_ids.imsi_id IS '1NCE''s number of the IMSI in it';
CREATE INDEX sim_ids_by_sim_id ON core.sim_ids (organization_id, sim_id);
CREATE INDEX sim_ids_by_imsi_id ON core.sim_ids (organization_id, imsi_id);
CREATE INDEX sims_by_imsi ON core.sims (organization_id, imsi);
CREATE INDEX sims_by_imei ON core.sims (organization_id, left(imei, 14));
SELECT ops.guard('core.sim_ids', api_reads => false);

-- The names are tried in the order given; an IMEI counts without check digit or version, and only if one SIM is in that device.
CREATE FUNCTION core.sim_named(names text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT n.sim_key
    FROM unnest(string_to_array(names, '|')) WITH ORDINALITY AS p (part, place)
    CROSS JOIN LATERAL (SELECT split_part(part, ' ', 1) AS kind, split_part(part, ' ', 2) AS value) AS v
    CROSS JOIN LATERAL (
        SELECT CASE kind
            WHEN 'sim_id' THEN (SELECT max(sim_key) FROM core.sim_ids
                WHERE organization_id = ops.current_organization() AND sim_id = value::bigint)
            WHEN 'imsi_id' THEN (SELECT max(sim_key) FROM core.sim_ids
                WHERE organization_id = ops.current_organization() AND imsi_id = value::bigint)
            WHEN 'imsi' THEN (SELECT max(sim_key) FROM core.sims
                WHERE organization_id = ops.current_organization() AND imsi = value)
            WHEN 'imei' THEN (SELECT max(sim_key) FROM core.sims
                WHERE organization_id = ops.current_organization() AND left(imei, 14) = left(value, 14) HAVING count(*) = 1)
        END AS sim_key
    ) AS n
    WHERE n.sim_key IS NOT NULL ORDER BY p.place LIMIT 1
$$;
COMMENT ON FUNCTION core.sim_named(text) IS 'Small key of the SIM named as in ''sim_id 7|imsi 901405180005433''; NULL: none is known by that';

COMMENT ON COLUMN core.sim_events.event_type IS 'Type of event in one wording for REST and stream, such as Create PDP Context; of a type that is not known, what 1NCE said';
COMMENT ON COLUMN core.sim_events.occurred_at IS 'When it happened (UTC), to the second';
