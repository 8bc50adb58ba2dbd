#!/bin/sh
# Runs once, when the database is made: a login for the HTTP service that can read views and run the service's functions, no more;
# and the administrator may copy the server from another container, for backups.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set password="$(cat /run/secrets/api_password)" <<'SQL'
CREATE ROLE simsight_api NOLOGIN;
CREATE ROLE simsight_service LOGIN PASSWORD :'password' IN ROLE simsight_api;
SQL
printf 'host replication %s all scram-sha-256\n' "$POSTGRES_USER" >>"$PGDATA/pg_hba.conf"
