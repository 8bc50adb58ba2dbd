"""The sections of a report, each read by set-based queries for a period and a choice of SIMs."""
