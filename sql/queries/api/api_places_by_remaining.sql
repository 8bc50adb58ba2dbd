-- One row a SIM: its place by remaining, to be put into api_sims_sorted. Index: sim_places_by_remaining.
SELECT organization_id, iccid, by_remaining AS place FROM predictions.sim_places
