-- How many SIMs there are, and for how many of them the usage call answers: none once it is gone, nor for SIMs unknown to API v1.
SELECT count(*) AS sims,
       CASE WHEN EXISTS (SELECT FROM ops.once_calls WHERE call = 'usage' AND gone_since IS NOT NULL) THEN 0
            ELSE count(*) - (SELECT count(*) FROM ops.polls WHERE source = 'usage' AND problem = 'OnceNotOnV1Error') END AS usage_calls
FROM core.sims;
