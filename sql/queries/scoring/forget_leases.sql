-- Blocks of this work and as-of day are published or planned anew; those of other runs that ended before %(before)s will never be.
DELETE FROM ops.block_leases WHERE part = %(part)s AND ((work_id = %(work_id)s AND as_of = %(as_of)s) OR held_until < %(before)s);
