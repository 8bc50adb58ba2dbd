"""Dagster assets, each thin: read, call one pure function, write, report metadata."""
