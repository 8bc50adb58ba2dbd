-- One row a SIM: its place by last_used, to be put into api_sims_sorted. Index: sim_places_by_last_used.
SELECT organization_id, iccid, by_last_used AS place FROM predictions.sim_places
