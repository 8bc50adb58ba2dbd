-- These predictions have been computed again: the mark they began with is settled, one that came meanwhile stays.
DELETE FROM ops.stale_predictions WHERE as_of = %(as_of)s AND part = %(part)s AND marked_at = %(marked_at)s;
