-- Begin an ingest run over the fleet; earlier unfinished runs of the same endpoint are abandoned.
WITH abandoned AS (
    DELETE FROM ops.sweeps WHERE source = %(source)s AND finished_at IS NULL
)
INSERT INTO ops.sweeps (organization_id, source, first_day, last_day, started_at)
VALUES ((SELECT ops.current_organization()), %(source)s, %(first_day)s, %(last_day)s, %(now)s)
RETURNING sweep_id, started_at;
