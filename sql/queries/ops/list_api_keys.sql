-- One row a key of the organization, oldest first; never the key itself.
SELECT * FROM ops.keys()
