"""PostgreSQL: the embedded server, migrations, sessions, COPY, the documented views."""
