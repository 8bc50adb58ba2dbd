-- Products with what the checks look at.
SELECT name, one_time_minor, currency FROM core.products;
