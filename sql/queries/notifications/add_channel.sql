-- Add a channel; no row where the name is taken. The time zone is tried by using it. open_too: it also tells the alerts that are open now.
INSERT INTO ops.channels (organization_id, name, kind, url_variable, secret_variable, min_severity, direct, resolved, digest_at, time_zone,
                          after_crash, created_at, tells_from)
SELECT (SELECT ops.current_organization()), %(name)s, %(kind)s, %(url_variable)s, %(secret_variable)s, %(min_severity)s, %(direct)s, %(resolved)s,
       %(digest_at)s::time, %(time_zone)s, %(after_crash)s, %(now)s, CASE WHEN %(open_too)s THEN '-infinity' ELSE %(now)s::timestamptz END
WHERE (%(now)s::timestamptz AT TIME ZONE %(time_zone)s) IS NOT NULL
ON CONFLICT (organization_id, name) WHERE deleted_at IS NULL DO NOTHING
RETURNING channel_id;
