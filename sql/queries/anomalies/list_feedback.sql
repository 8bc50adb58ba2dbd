-- One row an acknowledged false alarm, oldest first, those taken back too.
SELECT f.feedback_id, s.iccid, f.label, f.kind, f.said_by, f.said_at, f.note, f.undone_by, f.undone_at
FROM predictions.anomaly_feedback AS f LEFT JOIN core.sims AS s USING (sim_key) ORDER BY f.feedback_id;
