-- The names of operators and countries that are known.
SELECT kind, number, name FROM core.network_names;
