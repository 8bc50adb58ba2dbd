-- Blocks of this work and as-of day are published; what other runs left behind before %(before)s will never be.
DELETE FROM ops.staged_blocks WHERE part = %(part)s AND ((work_id = %(work_id)s AND as_of = %(as_of)s) OR staged_at < %(before)s);
