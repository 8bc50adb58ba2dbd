-- One row a list of SIMs that the key or session keeps, by name. Parameter: presented bytea.
SELECT name, query FROM ops.lists_of(%(presented)s::bytea)
