-- These predictions have been computed again: the invalidation they began with is cleared, one that came meanwhile stays.
DELETE FROM ops.stale_predictions WHERE as_of = %(as_of)s AND part = %(part)s AND marked_at = %(marked_at)s;
