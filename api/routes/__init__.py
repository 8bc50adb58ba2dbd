"""The routes, a file a domain; each owns its router."""
