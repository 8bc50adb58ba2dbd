-- Usage records pending in quarantine against stored usage rows of the last year.
SELECT q.pending, u.rows, q.pending::double precision / greatest(u.rows + q.pending, 1) AS share
FROM (SELECT count(*) AS pending FROM ops.quarantine WHERE source = 'usage' AND resolved_at IS NULL) AS q,
     (SELECT count(*) AS rows FROM own.sim_usage) AS u;
