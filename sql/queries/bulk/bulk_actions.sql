-- One row a bulk action, the newest first. Parameters: bulk_id bigint or NULL for all; state text (pending, expired, done, cancelled) or NULL for
-- any; before bigint (NULL for the first page), rows integer, now timestamptz. Index: bulk_actions_by_organization.
SELECT bulk_id, action, state, things, left_out, chosen, said, digest, phrase, prepared_by, prepared_at, expires_at, ended_by, ended_at, first_things
FROM ops.bulks(%(bulk_id)s::bigint, %(state)s::text, %(before)s::bigint, %(rows)s::integer, %(now)s::timestamptz)
