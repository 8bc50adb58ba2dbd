-- Delete what the runs %(work_ids)s have staged: none of them will publish it.
WITH blocks AS (
    DELETE FROM ops.staged_blocks WHERE work_id = ANY (%(work_ids)s) RETURNING 1
), leases AS (
    DELETE FROM ops.block_leases WHERE work_id = ANY (%(work_ids)s)
), left_values AS (
    DELETE FROM ops.staged_values WHERE work_id = ANY (%(work_ids)s) RETURNING 1
)
SELECT (SELECT count(*) FROM blocks) AS "staged blocks", (SELECT count(*) FROM left_values) AS "staged values";
