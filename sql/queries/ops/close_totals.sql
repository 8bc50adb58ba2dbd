-- Close the totals of days before %(before)s, whose rows are about to be deleted: what comes for such a day again is not added to them.
-- Primary key.
UPDATE core.daily_totals SET is_closed = true WHERE day < %(before)s::date AND NOT is_closed;
