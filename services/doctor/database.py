"""The database: reachable, whole, ours to write, on time, encrypted."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from cryptography import x509

from resources.database.migrations import pending_views, schema_version, storage_grade
from resources.database.replica import lag_of, position
from resources.database.server import Server, describe, driver_url, reason
from resources.database.upgrade import plain_tables
from resources.settings import Settings
from services.backup import age_in_words, newest_verified
from services.doctor.checks import Check, failed, ok, warning
from sql import migrations

# TimescaleDB before it has a known vulnerability (GHSA-vgp2-jj5c-828m)
SAFE_TIMESCALEDB = (2, 25, 2)
ROLES = ("simsight_owner", "simsight_pipeline", "simsight_api")
CLOCK_WARNING, CLOCK_FAILURE = timedelta(seconds=2), timedelta(seconds=60)
CERTIFICATE_DAYS = 21
SSL_REQUEST = struct.pack("!II", 8, 80877103)  # how PostgreSQL is asked for TLS
MIGRATE = "run `simsight migrate`"


def is_current(connection: psycopg.Connection[Any]) -> bool:
    return schema_version(connection) == migrations()[-1].version


def server_and_storage(server: Server, connection: psycopg.Connection[Any]) -> Iterator[Check]:
    """Which server this is and what it offers."""
    grade = storage_grade(connection)
    embedded = " (embedded)" if server.embedded else ""
    yield ok("database", f"{describe(server.simsight)}{embedded}, PostgreSQL {grade.postgres}")
    found = f"{grade.name}{f' {grade.timescaledb}' if grade.timescaledb else ''}"
    if grade.lacks:
        found += f"; it lacks: {'; '.join(grade.lacks)}. Nothing else is affected"
    numbers = tuple(int(part) for part in (grade.timescaledb or "").split("-")[0].split(".") if part.isdigit())
    if numbers and numbers < SAFE_TIMESCALEDB:
        newer = ".".join(map(str, SAFE_TIMESCALEDB))
        yield warning(
            "storage grade", found, f"update TimescaleDB to {newer} or newer: older ones have a vulnerability"
        )
    else:
        yield ok("storage grade", found)


def schema(connection: psycopg.Connection[Any]) -> Iterator[Check]:
    """Whether every migration and view is applied as its file says."""
    known = {migration.version: migration for migration in migrations()}
    version, newest = schema_version(connection), max(known)
    found = f"version {version} of {newest}"
    if version > newest:
        yield failed("schema", found, "a newer Simsight made this schema: install that one")
        return
    if version == 0:
        yield failed("schema", found, f"the schema is not up to date: {MIGRATE}")
        return
    applied = dict(connection.execute("SELECT version, sha256 FROM ops.schema_migrations").fetchall())
    wrong, to_do = [], []
    if missing := sorted(known.keys() - applied.keys()):
        wrong.append(f"missing: {', '.join(map(str, missing))}")
        to_do.append(f"the schema is not up to date: {MIGRATE}")
    if changed := [known[n].name for n, sha256 in sorted(applied.items()) if n in known and known[n].sha256 != sha256]:
        wrong.append(f"changed since they were applied: {', '.join(changed)}")
        to_do.append("restore these files of sql/migrations")
    if not wrong and (views := [view.name for view in pending_views(connection)]):
        wrong.append("views")
        to_do.append(f"views are missing or not up to date ({', '.join(views)}): {MIGRATE}")
    if wrong:
        yield failed("schema", "; ".join([found, *wrong]), "; ".join(to_do))
    else:
        yield ok("schema", f"{found}, all migrations and views applied")
        if plain := plain_tables(connection):
            found = f"{len(plain)} tables are no hypertables yet"
            yield failed("hypertables", found, "run `simsight storage upgrade`")


def rights(connection: psycopg.Connection[Any], settings: Settings) -> Iterator[Check]:
    """Whether the logins may do what they are for, and the HTTP service's no more."""
    member = "SELECT rolname, pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = ANY(%s)"
    has = dict(connection.execute(member, (list(ROLES),)).fetchall())
    (login,) = connection.execute("SELECT current_user").fetchone() or ("",)
    if lacking := [role for role in ROLES if not has.get(role)]:
        named = ", ".join(lacking)
        grants = f"as an administrator: GRANT {named} TO {login}"
        yield failed(
            "rights", f"login {login} is not a member of {named}", grants if set(lacking) <= set(has) else MIGRATE
        )
    else:
        yield ok("rights", f"login {login} is a member of {', '.join(ROLES)}")
    if settings.api_database_url is None:
        return
    address = driver_url(settings.api_database_url.get_secret_value(), "").render_as_string(hide_password=False)
    try:
        with psycopg.connect(address, connect_timeout=10) as api:
            has = dict(api.execute(member, (list(ROLES),)).fetchall())
    except psycopg.OperationalError as error:
        yield failed("rights of the API", reason(error), "check SIMSIGHT_API_DATABASE_URL: host, port, user, password")
        return
    if not has.get("simsight_api"):
        yield failed(
            "rights of the API",
            "the login of SIMSIGHT_API_DATABASE_URL is not a member of simsight_api",
            "as an administrator: GRANT simsight_api TO that login",
        )
    elif has.get("simsight_owner"):
        yield warning(
            "rights of the API",
            "the login of SIMSIGHT_API_DATABASE_URL may administer the database",
            "use a login that is a member of simsight_api alone",
        )
    else:
        yield ok("rights of the API", "a login of its own, member of simsight_api alone")


def replica(server: Server, settings: Settings) -> Iterator[Check]:
    """Whether the replica that the HTTP service reads from answers, is one of this database, and is near enough."""
    if settings.read_database_url is None:
        return
    url = settings.read_database_url.get_secret_value()
    found, instead = describe(url), "the primary answers meanwhile"
    try:
        primary = position(server.simsight)
        own = position(url)
    except psycopg.Error as error:
        yield failed(
            "replica", f"{found}: {reason(error)}", f"start it, or correct SIMSIGHT_READ_DATABASE_URL; {instead}"
        )
        return
    if not own.is_replica_of(primary):
        yield failed(
            "replica",
            f"{found} is no replica of {describe(server.simsight)}",
            f"make it anew from the primary (pg_basebackup), or correct SIMSIGHT_READ_DATABASE_URL; {instead}",
        )
        return
    lag = lag_of(primary, own)
    if lag is None or lag > settings.read_lag_seconds:
        behind = "an unknown time" if lag is None else f"{lag:.0f} s"
        yield warning("replica", f"{found} is {behind} behind", f"look at the replica's log and network; {instead}")
    else:
        yield ok("replica", f"{found} is {lag:.0f} s behind")


def clock(connection: psycopg.Connection[Any], settings: Settings) -> Iterator[Check]:
    """Whether this machine and the database agree on the time."""
    before = datetime.now(UTC)
    (theirs,) = connection.execute("SELECT clock_timestamp()").fetchone() or (before,)
    after = datetime.now(UTC)
    apart = max(before - theirs, theirs - after, timedelta())
    found = f"{apart.total_seconds():.1f} s apart from the database's"
    do = "let both machines keep time by NTP"
    if apart > CLOCK_FAILURE:
        yield failed("clock", found, do)
    elif apart > CLOCK_WARNING:
        yield warning("clock", found, do)
    elif settings.now:
        yield warning(
            "clock",
            f"SIMSIGHT_NOW is set: it is taken to be {settings.now:%Y-%m-%d %H:%M} UTC",
            "unset it to work on the present",
        )
    else:
        yield ok("clock", found)


def backups(connection: psycopg.Connection[Any], settings: Settings) -> Iterator[Check]:
    """How old the newest verified backup is."""
    told, problem = age_in_words(newest_verified(connection), settings, datetime.now(UTC))
    yield failed("backup", told, problem) if problem else ok("backup", told)


def link(connection: psycopg.Connection[Any]) -> Iterator[Check]:
    """Whether the connection is encrypted where it leaves this machine, and until when its certificate holds."""
    host = connection.info.host
    if not connection.pgconn.ssl_in_use:
        if host.startswith("/") or host in ("", "localhost", "127.0.0.1", "::1"):
            yield ok("link to the database", "does not leave this machine")
        else:
            yield warning("link to the database", "not encrypted", "add ?sslmode=verify-full to SIMSIGHT_DATABASE_URL")
        return
    ends = certificate_end(connection.info.hostaddr or host, connection.info.port)
    days = (ends - datetime.now(UTC)).days
    found = f"encrypted, the server's certificate ends on {ends:%Y-%m-%d}"
    renew = "renew the certificate of the database server"
    if days < 0:
        yield failed("link to the database", found, renew)
    elif days < CERTIFICATE_DAYS:
        yield warning("link to the database", f"{found}, in {days} days", renew)
    else:
        yield ok("link to the database", found)


def certificate_end(host: str, port: int) -> datetime:
    """Until when the certificate that a PostgreSQL server shows is valid. Raises OSError."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is only looked at, nothing is sent
    with socket.create_connection((host, port), timeout=10) as plain:
        plain.sendall(SSL_REQUEST)
        if plain.recv(1) != b"S":
            raise OSError("the server takes no TLS")
        with context.wrap_socket(plain, server_hostname=host) as wrapped:
            shown = wrapped.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).not_valid_after_utc
