-- How many SIMs there are.
SELECT count(*) AS sims FROM core.sims;
