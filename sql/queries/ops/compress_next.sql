-- One row: the piece of a big table that was compressed, whose days all lie before %(before)s; NULL where none is left, or the server has no
-- compression. %(done)s: names of pieces that were compressed before.
SELECT ops.compress_next(%(before)s::date, %(done)s::text[]) AS chunk;
