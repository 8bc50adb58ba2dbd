-- What SIMs were scored from is kept as long as corrections may make predictions stale: before %(first)s a day is scored anew whole.
DELETE FROM ops.scored_sims WHERE as_of < %(first)s;
