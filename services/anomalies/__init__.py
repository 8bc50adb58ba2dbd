"""The anomaly detector over the fleet, by day and live."""
