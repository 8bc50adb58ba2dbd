-- One row: the last as-of day there is; of a fleet without predictions the last day but one with usage.
SELECT coalesce((SELECT max(as_of) FROM predictions.exhaustions), (SELECT max(day) - 1 FROM core.sim_usage)) AS last
