-- The value of that name is used up; what was staged for this task before %(before)s will never be.
DELETE FROM ops.staged_values WHERE part = %(part)s AND ((work_id = %(work_id)s AND name = %(name)s) OR staged_at < %(before)s);
