-- Digests that are due: one a channel and day, from its time of day on. One row: how many.
WITH due AS (
    SELECT c.channel_id, (%(now)s::timestamptz AT TIME ZONE c.time_zone)::date AS day,
           greatest(c.created_at, %(now)s::timestamptz - interval '7 days',
                    (SELECT max(n.created_at) FROM ops.notifications AS n
                     WHERE n.channel_id = c.channel_id AND n.digest_day IS NOT NULL)) AS since
    FROM ops.channels AS c
    WHERE c.digest_at IS NOT NULL AND c.deleted_at IS NULL
      AND (%(now)s::timestamptz AT TIME ZONE c.time_zone)::time >= c.digest_at
      AND c.created_at < ((%(now)s::timestamptz AT TIME ZONE c.time_zone)::date + c.digest_at) AT TIME ZONE c.time_zone
), added AS (
    INSERT INTO ops.notifications
        (organization_id, channel_id, delivery_key, stage, severity, digest_day, digest_since, created_at, next_attempt_at)
    SELECT (SELECT ops.current_organization()), channel_id, gen_random_uuid(), 'digest', 'info', day, since, %(now)s, %(now)s FROM due
    ON CONFLICT (channel_id, digest_day) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS planned FROM added;
