"""The dashboard: pages for people over the same database views, in the same process as the API."""
