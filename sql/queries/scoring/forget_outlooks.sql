-- What the forecasts as of %(as_of)s (date) left for other predictions of the run %(work_id)s is used up. Primary key.
DELETE FROM ops.staged_values
WHERE work_id = %(work_id)s AND part = %(part)s AND name LIKE 'outlook of block %% as of ' || %(as_of)s::date || ' by version %%';
