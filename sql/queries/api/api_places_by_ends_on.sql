-- One row a SIM: its place by ends_on, to be put into api_sims_sorted. Index: sim_places_by_ends_on.
SELECT organization_id, iccid, by_ends_on AS place FROM predictions.sim_places
