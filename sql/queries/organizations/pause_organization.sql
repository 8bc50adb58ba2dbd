-- Pauses the organization %(name)s (%(paused)s true) or lets it go on; pausing again keeps the time. No row: there is none of the name.
UPDATE core.organizations SET paused_at = CASE WHEN %(paused)s THEN coalesce(paused_at, now()) END
WHERE slug = %(name)s RETURNING paused_at;
