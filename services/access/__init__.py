"""Who may come in: keys of the HTTP service, credentials of streams."""
