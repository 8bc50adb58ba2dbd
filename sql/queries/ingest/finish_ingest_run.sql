-- Finish an ingest run: every SIM has been asked.
UPDATE ops.sweeps SET finished_at = %(now)s WHERE sweep_id = %(sweep_id)s;
