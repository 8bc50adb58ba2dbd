-- Runs that have left blocks or values staged, one a row. Primary keys.
SELECT work_id FROM ops.staged_blocks UNION SELECT work_id FROM ops.staged_values;
