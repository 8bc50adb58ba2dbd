"""Pure models over frames: no Dagster, no database, no HTTP, no clock."""
