-- What lists of SIMs are chosen, counted and sorted by, kept as one small row a SIM; and lists that people keep.
SET LOCAL ROLE simsight_owner;

CREATE TABLE predictions.sim_summaries (
    sim_key integer PRIMARY KEY REFERENCES core.sims,
    organization_id smallint NOT NULL,
    as_of date NOT NULL,
    label_group text,
    country text,
    operator text,
    last_used_on date,
    used_30 bigint NOT NULL CHECK (used_30 >= 0),
    remaining bigint,
    ends_on date,
    risk_level text CHECK (risk_level IN ('high', 'medium', 'low'))
);
COMMENT ON TABLE predictions.sim_summaries IS 'One row a SIM: what lists choose, count and sort it by, each the newest of many values; written with the report';
COMMENT ON COLUMN predictions.sim_summaries.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN predictions.sim_summaries.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.sim_summaries.as_of IS 'Last complete day that was known when it was written';
COMMENT ON COLUMN predictions.sim_summaries.label_group IS 'The label''s beginning up to its first separator (- _ / : . or space); NULL: it has no label';
COMMENT ON COLUMN predictions.sim_summaries.country IS 'Where it was last seen; NULL: not known';
COMMENT ON COLUMN predictions.sim_summaries.operator IS 'On whose network it was last seen; NULL: not known';
COMMENT ON COLUMN predictions.sim_summaries.last_used_on IS 'Last UTC day with data or SMS; NULL: never';
COMMENT ON COLUMN predictions.sim_summaries.used_30 IS 'Data volume of the 30 days up to as_of, in bytes (millionths of a MB)';
COMMENT ON COLUMN predictions.sim_summaries.remaining IS 'Data volume left when 1NCE was last asked, in bytes (millionths of a MB); NULL: not known';
COMMENT ON COLUMN predictions.sim_summaries.ends_on IS 'Median day of its end by the latest prediction; NULL: not known, or beyond ten years';
COMMENT ON COLUMN predictions.sim_summaries.risk_level IS 'Risk that it leaves: high, medium or low; NULL: not predicted';
SELECT ops.guard('predictions.sim_summaries');

CREATE TABLE ops.saved_lists (
    list_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    owner text NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 60),
    query text NOT NULL CHECK (length(query) BETWEEN 1 AND 2000),
    saved_at timestamptz NOT NULL,
    UNIQUE (organization_id, owner, name)
);
COMMENT ON TABLE ops.saved_lists IS 'One row a list of SIMs that someone keeps on the dashboard, seen by its owner alone';
COMMENT ON COLUMN ops.saved_lists.list_id IS 'Key';
COMMENT ON COLUMN ops.saved_lists.organization_id IS 'Organization';
COMMENT ON COLUMN ops.saved_lists.owner IS 'API key, and whom it stands for';
COMMENT ON COLUMN ops.saved_lists.name IS 'What its owner calls it';
COMMENT ON COLUMN ops.saved_lists.query IS 'Search, choices and order, as the address of the page has them';
COMMENT ON COLUMN ops.saved_lists.saved_at IS 'When it was last saved (UTC)';
SELECT ops.guard('ops.saved_lists', api_reads => false);
REVOKE INSERT, UPDATE, DELETE ON ops.saved_lists FROM simsight_pipeline;

CREATE TRIGGER logged_new AFTER INSERT ON ops.saved_lists REFERENCING NEW TABLE AS after_it
    FOR EACH STATEMENT EXECUTE FUNCTION ops.log_inserts('list', 'list_id', 'owner', '{name}', 'list_id');
CREATE TRIGGER logged_gone AFTER DELETE ON ops.saved_lists REFERENCING OLD TABLE AS before_it
    FOR EACH STATEMENT EXECUTE FUNCTION ops.log_deletes('list', 'list_id', 'owner', '{name}', 'list_id');
CREATE TRIGGER logged AFTER UPDATE ON ops.saved_lists REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it
    FOR EACH STATEMENT EXECUTE FUNCTION ops.log_updates('list', 'list_id', 'owner', '{name}', 'list_id');

CREATE FUNCTION ops.save_list(presented bytea, called text, asks text, now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who record;
BEGIN
    SELECT k.organization_id, 'API key ' || k.name AS owner INTO who FROM ops.live_key(presented) AS k;
    IF who.organization_id IS NULL THEN
        RETURN 'unknown';
    END IF;
    PERFORM set_config('simsight.by', who.owner, true);
    IF (SELECT count(*) FROM ops.saved_lists AS l WHERE l.organization_id = who.organization_id AND l.owner = who.owner AND l.name <> called) >= 50 THEN
        RETURN 'full';
    END IF;
    INSERT INTO ops.saved_lists (organization_id, owner, name, query, saved_at)
    VALUES (who.organization_id, who.owner, called, asks, now_is)
    ON CONFLICT (organization_id, owner, name) DO UPDATE SET query = excluded.query, saved_at = excluded.saved_at;
    RETURN 'done';
END
$$;
COMMENT ON FUNCTION ops.save_list(bytea, text, text, timestamptz) IS
    'Keeps a list of SIMs for a live key or session, in place of one of that name: done, full (50 are kept already) or unknown (the key)';

CREATE FUNCTION ops.drop_list(presented bytea, called text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who record;
BEGIN
    SELECT k.organization_id, 'API key ' || k.name AS owner INTO who FROM ops.live_key(presented) AS k;
    PERFORM set_config('simsight.by', who.owner, true);
    DELETE FROM ops.saved_lists AS l WHERE l.organization_id = who.organization_id AND l.owner = who.owner AND l.name = called;
    RETURN CASE WHEN FOUND THEN 'done' ELSE 'unknown' END;
END
$$;
COMMENT ON FUNCTION ops.drop_list(bytea, text) IS 'Forgets a list of a live key or session: done or unknown';

CREATE FUNCTION ops.lists_of(presented bytea) RETURNS TABLE (name text, query text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT l.name, l.query FROM ops.live_key(presented) AS k
    JOIN ops.saved_lists AS l ON l.organization_id = k.organization_id AND l.owner = 'API key ' || k.name ORDER BY l.name;
END;
COMMENT ON FUNCTION ops.lists_of(bytea) IS 'The lists that a live key or session keeps, by name';
REVOKE ALL ON FUNCTION ops.save_list(bytea, text, text, timestamptz), ops.drop_list(bytea, text), ops.lists_of(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.save_list(bytea, text, text, timestamptz), ops.drop_list(bytea, text), ops.lists_of(bytea) TO simsight_api;
