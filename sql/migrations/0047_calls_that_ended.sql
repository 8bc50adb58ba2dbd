-- A call that 1NCE has ended is told as ended: its last pass, which nothing will end, is not under way.
SET LOCAL ROLE simsight_owner;

DROP FUNCTION ops.source_passes();
CREATE FUNCTION ops.source_passes() RETURNS TABLE (source text, asked_at timestamptz, under_way_since timestamptz, gone_since timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH gone AS (
        SELECT c.call, max(c.gone_since) AS since
        FROM ops.once_calls AS c
        WHERE c.organization_id = (SELECT ops.current_organization())
        GROUP BY c.call
        HAVING bool_and(c.gone_since IS NOT NULL)
    )
    SELECT
        w.source, max(w.finished_at), max(w.started_at) FILTER (WHERE w.finished_at IS NULL AND g.since IS NULL), max(g.since)
    FROM ops.sweeps AS w
    LEFT JOIN gone AS g ON g.call = w.source
    WHERE w.organization_id = (SELECT ops.current_organization())
    GROUP BY w.source;
END;
COMMENT ON FUNCTION ops.source_passes() IS
    'One row a call of 1NCE: when its last complete pass over the fleet ended, since when one is under way, and since when 1NCE answers it in no version (NULL: it does), for the organization of the session';
REVOKE ALL ON FUNCTION ops.source_passes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.source_passes() TO simsight_api, simsight_pipeline;
