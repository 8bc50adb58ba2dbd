-- Keys of the SIMs that have forecasts as of %(as_of)s, one row a SIM. Index usage_forecasts_by_as_of.
SELECT sim_key FROM predictions.usage_forecasts WHERE as_of = %(as_of)s AND day - as_of = 1;
