-- A failed run, once.
INSERT INTO ops.run_failures (organization_id, run_id, job, failed_at, message)
VALUES ((SELECT ops.current_organization()), %(run_id)s, %(job)s, %(now)s, %(message)s)
ON CONFLICT (organization_id, run_id) DO NOTHING;
