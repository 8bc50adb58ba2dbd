-- One value that a step left for later ones. Primary key.
SELECT content FROM ops.staged_values WHERE work_id = %(work_id)s AND name = %(name)s;
