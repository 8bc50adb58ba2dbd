-- A block is finished, with this outcome; no row where another has taken the lease over.
UPDATE ops.block_leases SET outcome = %(outcome)s::jsonb
WHERE work_id = %(work_id)s AND part = %(part)s AND as_of = %(as_of)s AND block = %(block)s AND holder = %(holder)s;
