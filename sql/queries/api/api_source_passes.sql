-- One row a call of 1NCE: when its last complete pass over the fleet ended, since when one is under way, since when the call is gone. Index: sweeps_latest.
SELECT source, asked_at, under_way_since, gone_since FROM ops.source_passes() ORDER BY source
