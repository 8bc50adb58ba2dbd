"""`simsight status`, `simsight doctor`."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pipelines.cli.common import check_target, console, runtime_of
from resources.errors import SimsightError
from resources.settings import Settings, load_settings

if TYPE_CHECKING:
    from resources.runtime import Runtime

app = typer.Typer()


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
    sims: Annotated[
        bool, typer.Option("--sims", help="How closely the usage of each SIM is followed, as CSV.")
    ] = False,
) -> None:
    """What is stored, how fresh it is, which model is champion and how good it was."""
    from services.status import collect, sim_resolutions

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        collected: Any = sim_resolutions(runtime) if sims else collect(runtime)
    if sims and not as_json:
        columns = ("iccid", "usage_resolution", "answered_at")
        typer.echo(
            "\n".join(",".join(row) for row in [columns, *([row[c] or "" for c in columns] for row in collected)])
        )
        return
    if as_json:
        typer.echo(json.dumps(collected, indent=2))
        return
    _print_tree(collected)


@app.command()
def doctor() -> None:
    """Check settings, database, storage grade, 1NCE account and disk. Exit code 1 if something must be fixed."""
    import psycopg

    from resources.database.migrations import pending_views, schema_version, storage_grade
    from resources.database.server import describe, driver_url
    from services.backup import age_in_words, newest_verified
    from sql import migrations

    settings = load_settings()
    wrong = []
    console.print(f"Python {sys.version.split()[0]}, home folder {settings.home.resolve()}")
    existing = next(folder for folder in [settings.home.resolve(), *settings.home.resolve().parents] if folder.exists())
    free = shutil.disk_usage(existing).free
    console.print(f"disk: {free / 1e9:.1f} GB free")
    if free < 2e9:
        wrong.append("less than 2 GB of disk are free")
    with runtime_of(settings) as runtime:
        server = runtime.server
        with psycopg.connect(driver_url(server.simsight, "").render_as_string(hide_password=False)) as connection:
            grade, version = storage_grade(connection), schema_version(connection)
            views = pending_views(connection)
            newest = migrations()[-1].version
            backup = newest_verified(connection) if version == newest else None
        console.print(
            f"database: {describe(server.simsight)}{' (embedded)' if server.embedded else ''}, "
            f"PostgreSQL {grade.postgres}"
        )
        console.print(f"storage grade: {grade.name}{f' {grade.timescaledb}' if grade.timescaledb else ''}")
        if grade.lacks:
            console.print(f"  it lacks: {'; '.join(grade.lacks)}. Nothing else is affected.")
        console.print(f"schema: version {version} of {newest}")
        if version != newest:
            wrong.append("the schema is not up to date: run `simsight migrate`")
        elif views:
            names = ", ".join(view.name for view in views)
            wrong.append(f"views are missing or not up to date ({names}): run `simsight migrate`")
        told, problem = age_in_words(backup, settings, datetime.now(UTC))
        console.print(f"backup: {told}")
        wrong += [problem] if problem else []
        known = _known_calls(runtime) if version == newest else None
        if known:
            settings = runtime.for_organization().settings
    if settings.account_problem:
        console.print("1NCE account: only half of it is set")
        wrong.append(settings.account_problem)
    elif settings.once_username and settings.once_password:
        problem = _try_account(settings)
        console.print(f"1NCE account: {settings.once_username} at {settings.once_base_url}: {problem or 'answers'}")
        wrong += [problem] if problem else []
        if known:
            _print_calls(*known)
    else:
        console.print("1NCE account: none set (ONCE_USERNAME, ONCE_PASSWORD); demo and dev use the simulator")
    for problem in wrong:
        console.print(f"[red]to fix:[/red] {escape(problem)}")
    raise typer.Exit(1 if wrong else 0)


@app.command("support-bundle")
def support_bundle(
    file: Annotated[Path, typer.Argument(callback=check_target, help="Zip file to write; it must not exist.")],
) -> None:
    """Pack what a support engineer asks for: doctor's checks, versions, settings, storage, runs and failures.

    Secrets, numbers of SIMs and names of logins are left out; look through it before you send it.
    """
    import psycopg

    from services.support import bundle

    with console.capture() as checks:
        try:
            doctor()
        except typer.Exit:
            pass
        except (SimsightError, psycopg.Error, OSError) as error:
            console.print(str(error), markup=False)
    names = bundle(load_settings(), file, doctor=checks.get())
    console.print(f"{', '.join(names)} in {file}", markup=False)


def _known_calls(runtime: Runtime) -> tuple[dict[str, dict[str, Any]], str | None] | None:
    """What is known of each call, and what to do before API v1 ends; None without the organization."""
    from resources.database.session import UnknownOrganizationError
    from resources.once.calls import v1_warning
    from services.ingest.call_states import call_states

    now = runtime.clock()
    try:
        calls, book = call_states(runtime.database, runtime.settings.once_api, now)
    except UnknownOrganizationError:
        return None
    return calls, v1_warning(book, now)


def _print_calls(calls: dict[str, dict[str, Any]], warning: str | None) -> None:
    console.print("calls to 1NCE:")
    for name, call in calls.items():
        asked = f"API {call['version']}" if call["version"] else call.get("note", "gone")
        last = f"{call['last_success_at']:%Y-%m-%d %H:%M} UTC" if call["last_success_at"] else "never yet"
        gone = [
            f"gone from {key.partition('_')[0]} since {since:%Y-%m-%d %H:%M} UTC"
            for key, since in call.items()
            if key.endswith("_gone_since")
        ]
        console.print(f"  {name}: {'; '.join([asked, f'last answer {last}', *gone])}", markup=False)
    if warning:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")


def _try_account(settings: Settings) -> str:
    """What is wrong with the 1NCE account, or nothing."""
    from pipelines.demo import log_in

    try:
        log_in(settings)
    except (SimsightError, ValueError) as error:
        return str(error)
    return ""


def _print_tree(values: dict[str, Any], indent: int = 0) -> None:
    for key, value in values.items():
        name = key.replace("_", " ") if indent == 0 else key
        if isinstance(value, dict):
            console.print(f"{'  ' * indent}{name}:", markup=False)
            _print_tree(value, indent + 1)
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else "-" if value is None else value
            console.print(f"{'  ' * indent}{name}: {shown}", markup=False)
