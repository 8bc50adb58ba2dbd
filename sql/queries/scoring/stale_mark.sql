-- When the predictions of one part and as-of day were last marked stale; no row when they are fresh. Primary key.
SELECT marked_at FROM ops.stale_predictions WHERE as_of = %(as_of)s AND part = %(part)s;
