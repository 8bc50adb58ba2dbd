"""What is around the database: settings, folders, secrets in files, disk, 1NCE, MLflow, the HTTP service."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg

from resources import tracing
from resources.database.server import describe, driver_url
from resources.database.session import UnknownOrganizationError
from resources.errors import SimsightError, in_words
from resources.once.calls import v1_warning
from resources.once.log_in import LoggingIn
from resources.proxies import proxy_options
from resources.runtime import Runtime
from resources.secret_files import FILE, variable_of
from resources.settings import ENV_FILE, Settings
from resources.variables import secret_fields, unknown_variables
from services.doctor.checks import Check, failed, ok, warning
from services.ingest.call_states import call_states

NEEDED_BYTES, SCARCE_BYTES = 2_000_000_000, 10_000_000_000
TIMEOUT_S = 10.0


def settings_known(settings: Settings) -> Iterator[Check]:
    """Which program with which settings this is."""
    found = f"Python {sys.version.split()[0]}, home folder {settings.home.resolve()}"
    if unknown := unknown_variables(os.environ):
        names = ", ".join(f"{name} ({near}?)" if near else name for name, near in unknown.items())
        yield warning(
            "settings", f"{found}; no settings of Simsight: {names}", "correct the names (.env.example has them)"
        )
    else:
        yield ok("settings", found)


def home(settings: Settings) -> Iterator[Check]:
    """Whether the home folder can be written, by us alone, and what is free on its disk."""
    folder = settings.home.resolve()
    existing = next(one for one in [folder, *folder.parents] if one.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        yield failed(
            "home", f"{existing} cannot be written: {in_words(error)}", "change its owner, or set SIMSIGHT_HOME"
        )
        return
    if existing == folder and folder.stat().st_mode & stat.S_IWOTH:
        yield warning("home", f"everybody may write to {folder}", f"chmod o-w {folder}")
    else:
        yield ok("home", f"{existing} can be written")
    free = shutil.disk_usage(existing).free
    found = f"{free / 1e9:.1f} GB free"
    if free < NEEDED_BYTES:
        yield failed("disk", found, "less than 2 GB of disk are free: make room, or set SIMSIGHT_HOME to another disk")
    elif free < SCARCE_BYTES:
        yield warning("disk", found, "see that it does not fill up: SIMSIGHT_RAW_DAYS and retention keep less")
    else:
        yield ok("disk", found)


def secret_files(environ: dict[str, str]) -> Iterator[Check]:
    """Whether files with secrets can be read by others of this machine."""
    files = [Path(ENV_FILE)] + [
        Path(environ[name]) for name in map(_file_variable, secret_fields()) if environ.get(name)
    ]
    # what the container's own mounts allow is not ours to change, and nobody else is there
    there = [file for file in files if file.is_file() and not str(file).startswith("/run/secrets/")]
    open_ones = [str(file) for file in there if file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)]
    if open_ones:
        yield warning("secrets", f"others may read {', '.join(open_ones)}", f"chmod 600 {' '.join(open_ones)}")
    else:
        yield ok("secrets", "no file with secrets can be read by others" if there else "no file holds any")


def _file_variable(field: str) -> str:
    return f"{variable_of(field)}{FILE}"


def account(settings: Settings) -> Iterator[Check]:
    """Whether 1NCE takes the account: by a log-in, with no call after it."""
    if settings.account_problem:
        yield failed("1NCE account", "only half of it is set", settings.account_problem)
        return
    if not (settings.once_username and settings.once_password):
        yield ok("1NCE account", "none set (ONCE_USERNAME, ONCE_PASSWORD); demo and dev use the simulator")
        return
    who = f"{settings.once_username} at {settings.once_base_url}"
    name, password = settings.account()

    async def log_in() -> None:
        async with LoggingIn(
            base_url=settings.once_base_url, username=name, password=password, now=settings.clock
        ) as once:
            await once.log_in()

    try:
        asyncio.run(log_in())
    except (SimsightError, ValueError) as error:
        yield failed("1NCE account", who, str(error))
    else:
        yield ok("1NCE account", f"{who}: takes the log-in")


def calls(runtime: Runtime) -> Iterator[Check]:
    """What is known of each call to 1NCE, and what to do before API v1 ends."""
    now = runtime.clock()
    try:
        known, book = call_states(runtime.database, runtime.settings.once_api, now)
    except UnknownOrganizationError:
        return
    found = " | ".join(f"{name}: {_call(call)}" for name, call in known.items())
    told = v1_warning(book, now)
    yield warning("calls to 1NCE", found, told) if told else ok("calls to 1NCE", found)


def _call(call: dict[str, Any]) -> str:
    asked = f"API {call['version']}" if call["version"] else call.get("note", "gone")
    last = f"{call['last_success_at']:%Y-%m-%d %H:%M} UTC" if call["last_success_at"] else "never yet"
    gone = [
        f"gone from {key.partition('_')[0]} since {since:%Y-%m-%d %H:%M} UTC"
        for key, since in call.items()
        if isinstance(since, datetime) and key.endswith("_gone_since")
    ]
    return "; ".join([asked, f"last answer {last}", *gone])


def mlflow(runtime: Runtime) -> Iterator[Check]:
    """Whether MLflow's store answers, and whether what scores can be loaded from it."""
    store = runtime.server.mlflow
    kind = urlsplit(store).scheme.partition("+")[0]
    if kind in ("http", "https"):
        shown = runtime.mlflow_ui
        try:
            answer = httpx.get(f"{store.rstrip('/')}/health", timeout=TIMEOUT_S, **proxy_options(httpx.URL(store)))
            answer.raise_for_status()
        except httpx.HTTPError as error:
            # an error's text may name the URL, whose login the caller takes out
            yield failed(
                "MLflow", f"{shown} does not answer: {in_words(error)}", "start it, or set SIMSIGHT_MLFLOW_TRACKING_URI"
            )
            return
    elif kind == "postgresql":
        shown = describe(store)
        address = driver_url(store, "").render_as_string(hide_password=False)
        with psycopg.connect(address, connect_timeout=int(TIMEOUT_S)) as connection:
            made = connection.execute("SELECT to_regclass('registered_models') IS NOT NULL").fetchone()
        if not (made and made[0]):
            yield ok("MLflow", f"{shown} answers; the first training makes its tables")
            return
    else:
        shown = kind
    yield ok("MLflow", f"{shown} answers")
    yield from _champions(runtime)


def _champions(runtime: Runtime) -> Iterator[Check]:
    from services.known_models import specs
    from services.models import registry_of

    loaded, none = [], []
    for spec in specs():
        recorded = runtime.database.row("champion", {"model_name": spec.name})
        registry = registry_of(runtime, spec.name)
        champion = registry.champion()
        if champion is None and recorded is None:
            none.append(spec.name)
            continue
        to_do = f"train it (the asset {spec.asset}), or take an earlier version back: `simsight rollback`"
        if champion is None or recorded is None or champion.version != recorded["model_version"]:
            there, here = champion and champion.version, recorded and recorded["model_version"]
            yield failed(
                "champion", f"{spec.name}: version {there or 'none'} in MLflow, {here or 'none'} in the database", to_do
            )
            continue
        try:
            spec.read(registry.load(champion))
        except Exception as error:
            yield failed(
                "champion", f"{spec.name} version {champion.version} cannot be loaded: {in_words(error)}", to_do
            )
        else:
            loaded.append(f"{spec.name} {champion.version}")
    if loaded:
        yield ok("champions", f"loaded: {', '.join(loaded)}" + (f"; not trained: {', '.join(none)}" if none else ""))
    elif none and len(none) == len(specs()):
        yield ok("champions", "no model has been trained yet")


def traces() -> Iterator[Check]:
    """Whether the collector of traces takes them; nothing where none are to be written."""
    host, why = tracing.found()
    if why:
        yield warning(
            "traces", f"none come to {host}: {why}", "mend that, or take the variable away: docs/operating.md, Traces"
        )
    elif host:
        yield ok("traces", f"the collector at {host} takes them")


def service(settings: Settings) -> Iterator[Check]:
    """Whether the HTTP service answers where people reach it."""
    if not settings.api_url:
        return
    url = f"{settings.api_url.rstrip('/')}/health"
    try:
        answer = httpx.get(url, timeout=TIMEOUT_S, **proxy_options(httpx.URL(url)))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield failed(
            "HTTP service",
            f"SIMSIGHT_API_URL does not answer: {in_words(error)}",
            "start `simsight serve`, or correct it",
        )
        return
    if answer.is_success:
        yield ok("HTTP service", f"answers at {httpx.URL(url).host}")
    else:
        yield failed("HTTP service", f"answers with HTTP {answer.status_code}", "see its log; it needs the database")
