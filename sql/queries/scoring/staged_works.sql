-- Runs that have left blocks, leases or values staged, one a row. Primary keys.
SELECT work_id FROM ops.staged_blocks UNION SELECT work_id FROM ops.block_leases UNION SELECT work_id FROM ops.staged_values;
