-- When the predictions of a task and as-of day were last invalidated; no row when they hold. Primary key.
SELECT marked_at FROM ops.stale_predictions WHERE as_of = %(as_of)s AND part = %(part)s;
