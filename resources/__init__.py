"""The world outside: settings, the database server, the 1NCE client."""
