-- A block that failed is anyone's.
DELETE FROM ops.block_leases
WHERE work_id = %(work_id)s AND part = %(part)s AND as_of = %(as_of)s AND block = %(block)s AND holder = %(holder)s AND outcome IS NULL;
