-- One row a call of 1NCE: when its last complete pass over the fleet ended, and since when one is under way. Index: sweeps_latest.
SELECT source, asked_at, under_way_since FROM ops.source_passes() ORDER BY source
