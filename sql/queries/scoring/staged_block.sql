-- One block that waits for publication. Primary key.
SELECT rows, content FROM ops.staged_blocks
WHERE work_id = %(work_id)s AND part = %(part)s AND as_of = %(as_of)s AND block = %(block)s;
