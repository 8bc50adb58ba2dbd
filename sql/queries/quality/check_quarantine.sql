-- Usage records waiting in quarantine against stored usage rows of the last year.
SELECT q.waiting, u.rows, q.waiting::double precision / greatest(u.rows + q.waiting, 1) AS share
FROM (SELECT count(*) AS waiting FROM ops.quarantine WHERE source = 'usage' AND resolved_at IS NULL) AS q,
     (SELECT count(*) AS rows FROM core.sim_usage) AS u;
