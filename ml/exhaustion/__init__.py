"""When a SIM runs out: dates from sampled futures, tested on the fleet's own past."""
