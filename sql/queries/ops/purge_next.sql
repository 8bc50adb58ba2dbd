-- One row: the table of a kind (usage, predictions) of which a piece from before %(before)s was deleted, at most %(most)s rows of a table
-- without chunks, and how many rows that was; named is NULL where none is left.
SELECT named, rows FROM ops.purge_next(%(kind)s::text, %(before)s::date, %(most)s::integer);
