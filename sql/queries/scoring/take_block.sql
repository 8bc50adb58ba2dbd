-- Take the lease on a block for %(seconds)s seconds, or hold on to it: whether it is %(holder)s's now, and what came of the block if it is
-- finished. A lease that has run out is taken over; one of a finished block is not. Primary key.
WITH taken AS (
    INSERT INTO ops.block_leases AS l (organization_id, work_id, part, as_of, block, holder, held_until)
    VALUES (
        (SELECT ops.current_organization()), %(work_id)s, %(part)s, %(as_of)s, %(block)s, %(holder)s,
        clock_timestamp() + make_interval(secs => %(seconds)s)
    )
    ON CONFLICT (organization_id, work_id, part, as_of, block) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
        WHERE l.outcome IS NULL AND (l.holder = excluded.holder OR l.held_until < clock_timestamp())
    RETURNING 1
)
SELECT
    EXISTS (SELECT FROM taken) AS is_mine,
    (
        SELECT outcome FROM ops.block_leases
        WHERE work_id = %(work_id)s AND part = %(part)s AND as_of = %(as_of)s AND block = %(block)s
    ) AS outcome;
