"""All checks of `simsight doctor`, in the order in which they are shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import psycopg

from resources.database.server import DatabaseUnavailableError, driver_url
from resources.redaction import secrets_of
from resources.runtime import Runtime
from resources.settings import Settings, SettingsError, load_settings
from services.doctor import database, pipeline, surroundings
from services.doctor.checks import Check, failed, looked_at


def examine() -> list[Check]:
    """Look at everything; what a fault hides is left out, and the fault is among the checks."""
    try:
        settings = load_settings()
    except SettingsError as error:
        return [failed("settings", "wrong", str(error))]
    secrets = secrets_of(settings)
    found: list[Check] = []

    def look(name: str, what: Callable[[], Iterable[Check]]) -> None:
        found.extend(looked_at(name, what, secrets))

    look("settings", lambda: surroundings.settings_known(settings))
    look("home", lambda: surroundings.home(settings))
    look("secrets", lambda: surroundings.secret_files(dict(os.environ)))
    with Runtime(settings) as runtime:
        try:
            address = driver_url(runtime.server.simsight, "").render_as_string(hide_password=False)
            with psycopg.connect(address, connect_timeout=10) as connection:
                current = _look_at_database(runtime, settings, connection, look)
        except DatabaseUnavailableError as error:
            found.append(failed("database", "does not answer", str(error)))
        else:
            look("Dagster", lambda: pipeline.dagster(runtime))
            if current:
                look("messages", lambda: pipeline.outbox(runtime))
                look("data", lambda: pipeline.data(runtime))
                try:
                    settings = runtime.for_organization().settings
                except SettingsError as error:
                    found.append(failed("settings of the organization", "wrong", str(error)))
                look("MLflow", lambda: surroundings.mlflow(runtime))
        look("1NCE account", lambda: surroundings.account(settings))
        if any(check.name == "data" for check in found) and settings.once_username:
            look("calls to 1NCE", lambda: surroundings.calls(runtime))
    look("traces", surroundings.traces)
    look("HTTP service", lambda: surroundings.service(settings))
    return found


def _look_at_database(
    runtime: Runtime,
    settings: Settings,
    connection: psycopg.Connection,
    look: Callable[[str, Callable[[], Iterable[Check]]], None],
) -> bool:
    """Whether the schema is that of this Simsight, so that its tables can be read."""
    connection.autocommit = True  # a look that fails does not spoil the next
    current = database.is_current(connection)
    look("database", lambda: database.server_and_storage(runtime.server, connection))
    look("schema", lambda: database.schema(connection))
    if current:
        look("rights", lambda: database.rights(connection, settings))
        look("backup", lambda: database.backups(connection, settings))
        look("replica", lambda: database.replica(runtime.server, settings))
    look("clock", lambda: database.clock(connection, settings))
    look("link to the database", lambda: database.link(connection))
    return current
