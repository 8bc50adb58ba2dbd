"""The command line. Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 stopped by a failed check, 130 interrupted."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from pipelines import cli_alerts, cli_channels
from resources.errors import SimsightError
from resources.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from resources.runtime import Runtime
    from simulator.delivery import Opens

app = typer.Typer(
    name="simsight",
    help="Watch a fleet of 1NCE IoT SIM cards: ingest, forecast, alert, report.\n\nSettings come from the environment or .env; "
    "see .env.example. Without any, an embedded PostgreSQL under ./.simsight is used.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys = typer.Typer(help="Make, list and revoke keys of the HTTP service.", no_args_is_help=True)
app.add_typer(keys, name="api-key")
streams = typer.Typer(help="Make, list and revoke streams of 1NCE's Data Streamer.", no_args_is_help=True)
app.add_typer(streams, name="stream")
feedback = typer.Typer(
    help="Acknowledge false alarms of the anomaly detector, list them, take them back.", no_args_is_help=True
)
app.add_typer(feedback, name="feedback")
console = Console(highlight=False, soft_wrap=True)
INTERRUPTED = 130
ROOT = Path(__file__).resolve().parent.parent


def _runtime(settings: Settings) -> Runtime:
    from resources.runtime import Runtime

    return Runtime(settings)


@app.command()
def demo(
    sims: Annotated[int, typer.Option(min=1, max=100_000, help="SIMs of the simulated fleet.")] = 500,
    days: Annotated[int, typer.Option(min=30, max=180, help="Days of history to ingest.")] = 180,
) -> None:
    """Run the whole pipeline once and sum up; on a simulated fleet unless a 1NCE account is set.

    Run again, it continues the same fleet: only what a new day brings changes.
    """
    from pipelines.demo import run_demo
    from resources.database.server import only_one

    settings = load_settings()
    with only_one(settings.home / "demo.lock", "a demo"):
        raise typer.Exit(run_demo(settings, console, sims=sims, days=days))


@app.command()
def simulate(
    sims: Annotated[int, typer.Option(min=1, max=1_000_000, help="SIMs of the fleet.")] = 500,
    days: Annotated[int, typer.Option(min=1, help="Days the fleet has been running until today.")] = 180,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.")] = 7,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8800,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Requests a second before 429; 1NCE: 10. Default: no limit.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Write what was injected into the fleet to this JSON file.")
    ] = None,
    scenario: Annotated[
        Literal["clean", "usual", "all"],
        typer.Option(help="What is done to it on purpose: nothing, the usual anomalies, or further kinds too."),
    ] = "usual",
    live: Annotated[bool, typer.Option("--live", help="Let its time go on; else it stands still until moved.")] = False,
    stream_url: Annotated[
        str | None,
        typer.Option(
            help="Post what happens to this URL, as 1NCE's Data Streamer does; secret: SIMSIGHT_STREAM_SECRET."
        ),
    ] = None,
    stream_user: Annotated[str, typer.Option(help="User name of the stream: its id.")] = "",
    stream_history: Annotated[
        int, typer.Option(min=0, max=7, help="Days of the past that the stream begins with.")
    ] = 0,
    stream_folder: Annotated[
        Path | None, typer.Option(help="Instead of posting: write what happens to files here, every 15 minutes.")
    ] = None,
) -> None:
    """Serve a simulated 1NCE account (synthetic data) on this machine until Ctrl-C.

    Point Simsight at it with ONCE_BASE_URL=http://127.0.0.1:8800/management-api, ONCE_USERNAME=demo, ONCE_PASSWORD=demo.
    POST /simulator/clock {"now": "..."} moves its date, and a stream sends what happened meanwhile. /simulator/stream shows how
    the stream stands; POST {"restart": true} or {"replay": "..."} there.
    """
    from simulator.faults import Faults
    from simulator.fleet import Fleet
    from simulator.server import serve as serve_simulator
    from simulator.truth import write_truth

    now = load_settings().clock()
    stream = _stream(stream_url, stream_user, stream_folder, now - timedelta(days=stream_history))
    fleet = Fleet(seed=seed, sims=sims, start=now.date() - timedelta(days=days), scenario=scenario)
    if truth is not None:
        write_truth(fleet, truth)
        console.print(f"What was injected: {truth}")
    console.print(f"A simulated 1NCE account of {sims} SIMs (synthetic data) at http://127.0.0.1:{port}/management-api")
    serve_simulator(fleet, now=now, port=port, faults=Faults(requests_per_second=rate), live=live, stream=stream)


def _stream(url: str | None, user: str, folder: Path | None, place: datetime) -> Opens | None:
    """What sends a simulated account's records from `place` on, if anything; the secret comes from the environment."""
    from pydantic import SecretStr

    from simulator.sender import Streamer
    from simulator.stream_files import Folder
    from simulator.streamer import Feed

    if url is None:
        return None if folder is None else lambda cards: Folder(Feed(cards), folder, place=place)
    if folder is not None:
        raise SettingsError("--stream-url and --stream-folder: give one of them")
    secret = SecretStr(os.environ.get("SIMSIGHT_STREAM_SECRET", ""))
    if not user or not secret.get_secret_value():
        raise SettingsError(
            "--stream-url: needs the stream's id in --stream-user and its secret in SIMSIGHT_STREAM_SECRET (`simsight stream create`)"
        )
    return lambda cards: Streamer(Feed(cards), url, user, secret, place=place)


@app.command()
def migrate(
    to: Annotated[int | None, typer.Option(min=1, help="Stop at this version.")] = None,
) -> None:
    """Bring the database to the newest schema and add the organization of SIMSIGHT_ORGANIZATION."""
    from resources.database import migrations

    settings = load_settings()
    with _runtime(settings) as runtime:
        applied = migrations.migrate(runtime.server.simsight, to=to)
        for migration in applied:
            console.print(f"applied {migration.name}")
        if not applied:
            console.print("nothing to apply")
        if to is None:
            migrations.ensure_organization(runtime.server.simsight, settings.organization)


@app.command()
def ingest(
    first: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First usage day; default: today.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last usage day; default: today.")
    ] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Only parse the quarantined records again.")] = False,
) -> None:
    """Ask 1NCE for everything about the fleet and store it. Interrupted, it goes on where it stopped.

    A SIM's first usage call covers six months back; --from and --to ask for more of the past again.
    """
    from pipelines.demo import log_in, prepare
    from pipelines.runs import run_job

    settings = load_settings()
    with _runtime(settings) as runtime:
        prepare(runtime)
        if replay:
            from services.ingest.replay import replay as replay_quarantine

            done = replay_quarantine(runtime.database, now=runtime.clock())
            console.print(f"{done.passed} of {done.tried} quarantined records passed now; {done.merged.new} rows new")
            return
        runtime.once()  # says at once when no account is set
        today = runtime.clock().date()
        days = (first.date() if first else today, last.date() if last else today)
        if not settings.first_day <= days[0] <= days[1] <= today:
            raise SettingsError(
                f"--from {days[0]} --to {days[1]}: expected days in order, from {settings.first_day} to {today}"
            )
        log_in(settings)
        _end(run_job(runtime, "ingest", first=days[0], last=days[1]))


@app.command()
def run(
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="As-of day; default: the last complete day.")
    ] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Instead: score again the days whose usage was corrected since.")
    ] = False,
) -> None:
    """Check the data, train, forecast, alert and report as of a day."""
    from pipelines.demo import prepare
    from pipelines.runs import run_job

    with _runtime(load_settings()) as runtime:
        prepare(runtime)
        if stale:
            from services.scoring import stale_days

            stretches = stale_days(runtime)
            for begun, end, _ in stretches:
                console.print(f"as of {begun}" + (f" to {end}" if end != begun else ""))
                _end(run_job(runtime, "rescore", first=begun, last=end))
            if not stretches:
                console.print("no prediction is stale")
            return
        newest = runtime.last_complete_day()
        day = as_of.date() if as_of else newest
        if not runtime.settings.first_day <= day <= newest:
            raise SettingsError(
                f"--as-of {day}: expected a day from {runtime.settings.first_day} to {newest}, the last complete day"
            )
        if not (runtime.database.row("fleet_size") or {}).get("sims"):
            raise SimsightError(
                "there is no SIM in the database yet: run `simsight ingest` first, or `simsight demo` to try it on simulated SIMs"
            )
        _end(run_job(runtime, "predict", first=day))


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV, XLSX or Parquet file; docs/data.md lists the columns.")],
    kind: Annotated[
        Literal["usage", "sims", "labels", "tickets"], typer.Option(help="What the rows of the file are.")
    ] = "usage",
    renamed: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="THEIRS=OURS", help="A column that is named differently in the file; repeatable."
        ),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help='JSON file that names columns: {"Card": "iccid", "Volume": "mb"}.')
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of a workbook; default: the first.")] = None,
    good_rows: Annotated[
        bool, typer.Option("--good-rows", help="Import the good rows; bad ones wait in quarantine.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong with the file.")] = False,
) -> None:
    """Import daily usage, SIMs, labels or tickets from a file: all of it, or nothing when a row is bad."""
    from pipelines.demo import prepare
    from services.ingest.file_import import import_file as import_rows
    from services.ingest.file_import import named_kind, read_mapping

    names = read_mapping(mapping, renamed or [])
    with _runtime(load_settings()) as runtime:
        prepare(runtime)
        done = import_rows(
            runtime.database,
            file,
            named_kind(kind),
            now=runtime.clock(),
            only_all=not good_rows,
            dry_run=dry_run,
            mapping=names,
            sheet=sheet,
        )
        if done.ignored:
            console.print(f"columns not used: {', '.join(done.ignored)}", markup=False)
        for line, reason in done.bad.select("line", "reason").head(20).iter_rows():
            console.print(f"{done.unit} {line}: {reason}", markup=False)
        if dry_run:
            console.print(f"{file} can be imported" if done.bad.is_empty() else f"{done.bad.height} rows are bad")
            return
        merged = done.merged
        console.print(
            f"{merged.rows} rows: {merged.new} new, {merged.changed} changed, {merged.unchanged} known already; "
            f"{done.bad.height} bad ones in quarantine"
        )


@app.command("export")
def export_rows(
    view: Annotated[str, typer.Argument(help="View without its version, such as sims, sim_usage or exhaustions.")],
    to: Annotated[Path, typer.Option("--to", help="File to write: .csv, .xlsx or .parquet.")],
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Only rows for which this holds, such as as_of=2026-01-10, day>=2026-01-01 or closed_at= (no value); "
            "repeatable. Several = of one column: any of them.",
        ),
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Columns, separated by commas; default: all.")] = None,
) -> None:
    """Export a view of the data or the predictions to a file, whole or not at all."""
    from pipelines.demo import prepare
    from resources.files.formats import format_of
    from services.exports import Export, export_file

    chosen = [name.strip() for name in columns.split(",")] if columns else []
    wanted = Export(view, format_of(to), where or [], chosen)
    with _runtime(load_settings()) as runtime:
        prepare(runtime)
        console.print(f"{export_file(runtime.database, wanted, to)} rows in {to}", markup=False)


@app.command()
def serve() -> None:
    """Serve predictions over HTTP (SIMSIGHT_API_HOST, SIMSIGHT_API_PORT) until Ctrl-C. Make a key with `simsight api-key create`."""
    from api.server import serve as serve_api
    from pipelines.demo import prepare

    settings = load_settings()
    with _runtime(settings) as runtime:
        prepare(runtime)
        console.print(f"http://{settings.api_host}:{settings.api_port}/docs")
        serve_api(settings, runtime.server.api, data_note=runtime.data_note)


@app.command()
def dev() -> None:
    """Run the Dagster UI (SIMSIGHT_UI_PORT) with its daemon until Ctrl-C; with a simulated account unless one is set."""
    from pipelines.demo import account, prepare
    from pipelines.runs import environment
    from resources.ports import listen

    settings = load_settings()
    listen("127.0.0.1", settings.ui_port, free_it="set SIMSIGHT_UI_PORT to a free one").close()
    with account(settings, console, sims=500, days=180, live=True) as polled, _runtime(polled) as runtime:
        prepare(runtime)
        settings.landing_folder.mkdir(parents=True, exist_ok=True)
        console.print(
            f"Dagster UI: http://127.0.0.1:{settings.ui_port}    landing folder: {settings.landing_folder.resolve()}"
        )
        command = [str(Path(sys.executable).parent / "dagster"), "dev", "-w", str(ROOT / "workspace.yaml")]
        command += ["-h", "127.0.0.1", "-p", str(settings.ui_port)]
        code = _run_child(command, environment(runtime))
    raise typer.Exit(code)


@app.command()
def models(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """List the versions of the forecaster and of the anomaly detector, newest first: role, what each was trained on, how good it was, and
    why it has its role.
    """
    from rich.box import SIMPLE
    from rich.table import Table

    from resources.registry import DETECTOR, FORECASTER, MODELS
    from services.status import model_versions

    with _runtime(load_settings()) as runtime:
        runtime.check_schema()
        versions = model_versions(runtime)
    if as_json:
        typer.echo(json.dumps(versions, indent=2))
        return
    if not versions:
        console.print("no version is registered yet: `simsight run` trains the first")
        return
    figures = {
        FORECASTER: {"error": ("rmase", ".2f"), "80 % held": ("coverage_80", ".0%")},
        DETECTOR: {"found": ("recall", ".0%"), "flagged": ("flagged_per_1000", ".2f")},
    }
    for model in MODELS:
        table = Table(box=SIMPLE, title=model, title_justify="left")
        for heading in ("version", "role", "trained as of", *figures[model], "in use since"):
            table.add_column(heading, overflow="fold")
        of_model = [row for row in versions if row["model"] == model]
        for row in of_model:
            tested, since = row["backtest"], row["champion_since"]
            table.add_row(
                str(row["version"]),
                row["role"],
                row["as_of"],
                *(f"{tested[name]:{form}}" if name in tested else "-" for name, form in figures[model].values()),
                f"{since[:10]}, {row['decided_by']}" if since else "-",
            )
        console.print(table)
        for row in of_model:
            console.print(f"{row['version']}: {row['why'] or '-'}", markup=False)
        console.print()
    console.print("error: of the median in the version's own backtest, as a share of repeating last week's")
    console.print(
        "found: of the anomalies put into copies of the last two weeks; flagged: of 1,000 SIM-days of these weeks"
    )


@app.command()
def rollback(
    model: Annotated[
        Literal["usage-forecaster", "anomaly-detector"], typer.Option(help="Which model goes back.")
    ] = "usage-forecaster",
    to: Annotated[
        int | None, typer.Option(min=1, help="Version to go back to; default: the champion before the present one.")
    ] = None,
    why: Annotated[str, typer.Option(help="Kept with who did it and when.")] = "rolled back by hand",
    by: Annotated[str | None, typer.Option(help="Who decides it; default: the user of this machine.")] = None,
) -> None:
    """Make an earlier version of a model champion again, in the registry and in the database."""
    from getpass import getuser

    from services.models import rollback as roll_back

    with _runtime(load_settings()) as runtime:
        runtime.check_schema()
        done = roll_back(runtime, model=model, to=to, by=by or getuser(), why=why)
    console.print(f"{model}: version {done.version} is champion again, in place of version {done.before}")
    console.print("what is stored was made by the version before: `simsight run` scores the last complete day anew")


@app.command("mlflow")
def mlflow_ui() -> None:
    """Run the MLflow UI (SIMSIGHT_MLFLOW_PORT) until Ctrl-C: trainings, backtests with plots, registered versions."""
    from pipelines.demo import prepare
    from pipelines.runs import environment
    from resources.ports import listen

    settings = load_settings()
    listen("127.0.0.1", settings.mlflow_port, free_it="set SIMSIGHT_MLFLOW_PORT to a free one").close()
    with _runtime(settings) as runtime:
        prepare(runtime)
        console.print(f"MLflow UI: http://127.0.0.1:{settings.mlflow_port}")
        command = [str(Path(sys.executable).parent / "mlflow"), "server", "--host", "127.0.0.1", "--workers", "1"]
        command += ["--port", str(settings.mlflow_port), "--default-artifact-root", runtime.mlflow_artifacts]
        # the store's URL may hold a password: the environment, not the command line that every user of the machine sees
        code = _run_child(command, environment(runtime) | {"MLFLOW_BACKEND_STORE_URI": runtime.server.mlflow})
    raise typer.Exit(code)


def _run_child(command: list[str], variables: dict[str, str]) -> int:
    """Run a server until it ends or this process is told to; returns its exit code.

    It runs in a session of its own: Ctrl-C reaches this process, which then stops the child in good order.
    """
    child = subprocess.Popen(command, env=os.environ | variables, cwd=ROOT, start_new_session=True)  # noqa: S603
    try:
        # in short waits: while the simulator runs in a thread, Ctrl-C does not end a long one
        while (code := child.poll()) is None:
            time.sleep(0.2)
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait(60)
    return code


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """What is stored, how fresh it is, which model is champion and how good it was."""
    from services.status import collect

    with _runtime(load_settings()) as runtime:
        runtime.check_schema()
        collected = collect(runtime)
    if as_json:
        typer.echo(json.dumps(collected, indent=2))
        return
    _print_tree(collected)


@app.command()
def doctor() -> None:
    """Look at settings, database, storage grade, 1NCE account and disk, and say what is missing. Exit code 1 if something must be mended."""
    import psycopg

    from resources.database.migrations import schema_version, storage_grade
    from resources.database.server import describe, driver_url
    from sql import migrations

    settings = load_settings()
    wrong = []
    console.print(f"Python {sys.version.split()[0]}, home folder {settings.home.resolve()}")
    existing = next(folder for folder in [settings.home.resolve(), *settings.home.resolve().parents] if folder.exists())
    free = shutil.disk_usage(existing).free
    console.print(f"disk: {free / 1e9:.1f} GB free")
    if free < 2e9:
        wrong.append("less than 2 GB of disk are free")
    with _runtime(settings) as runtime:
        server = runtime.server
        with psycopg.connect(driver_url(server.simsight, "").render_as_string(hide_password=False)) as connection:
            grade, version = storage_grade(connection), schema_version(connection)
        console.print(
            f"database: {describe(server.simsight)}{' (embedded)' if server.embedded else ''}, PostgreSQL {grade.postgres}"
        )
        console.print(f"storage grade: {grade.name}{f' {grade.timescaledb}' if grade.timescaledb else ''}")
        if grade.lacks:
            console.print(f"  it lacks: {'; '.join(grade.lacks)}. Nothing else is affected.")
        newest = migrations()[-1].version
        console.print(f"schema: version {version} of {newest}")
        if version != newest:
            wrong.append("the schema is not up to date: run `simsight migrate`")
    if settings.once_username and settings.once_password:
        problem = _try_account(settings)
        console.print(f"1NCE account: {settings.once_username} at {settings.once_base_url}: {problem or 'answers'}")
        wrong += [problem] if problem else []
    else:
        console.print("1NCE account: none set (ONCE_USERNAME, ONCE_PASSWORD); demo and dev use the simulator")
    for problem in wrong:
        console.print(f"[red]to mend:[/red] {problem}")
    raise typer.Exit(1 if wrong else 0)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    days: Annotated[int | None, typer.Option(min=1, help="Valid for so many days; default: until revoked.")] = None,
    write: Annotated[bool, typer.Option("--write", help="May also act on alerts and write alert rules.")] = False,
) -> None:
    """Make a key for the organization and print it: it is shown this once."""
    from services.access import api_keys

    with _runtime(load_settings()) as runtime:
        runtime.check_schema()
        valid_for = timedelta(days=days) if days else None
        typer.echo(
            api_keys.create_key(runtime.database, name, now=datetime.now(UTC), valid_for=valid_for, can_write=write)
        )


@keys.command("list")
def list_keys() -> None:
    """List the organization's keys (never the keys themselves)."""
    from services.access import api_keys

    with _runtime(load_settings()) as runtime:
        runtime.check_schema()
        for key in api_keys.list_keys(runtime.database):
            state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else ""
            state = state or (f"expires {key.expires_at:%Y-%m-%d}" if key.expires_at else "valid")
            rights = ", may write" if key.can_write else ""
            console.print(f"{key.name}: made {key.created_at:%Y-%m-%d}, {state}{rights}", markup=False)


@keys.command("revoke")
def revoke_key(name: Annotated[str, typer.Argument(help="Name of the key.")]) -> None:
    """Make a key stop working at once."""
    from services.access import api_keys

    with _runtime(load_settings()) as runtime:
        runtime.check_schema()
        api_keys.revoke_key(runtime.database, name)
        console.print(f"{name} is revoked", markup=False)


@streams.command("create")
def create_stream(name: Annotated[str, typer.Argument(help="What the stream is for.")]) -> None:
    """Make a stream for the organization and print what 1NCE's portal asks for: the secret is shown this once."""
    from services.access import stream_credentials as known

    with _runtime(load_settings()) as runtime:
        runtime.check_schema()
        made = known.create_stream(runtime.database, name, now=runtime.clock())
    typer.echo(f"URL path:  {made.path}\nuser name: {made.stream_id}\npassword:  {made.secret}")


@streams.command("list")
def list_streams() -> None:
    """List the organization's streams (never their secrets) and when each last brought something."""
    from services.access import stream_credentials as known

    with _runtime(load_settings()) as runtime:
        runtime.check_schema()
        for stream in known.list_streams(runtime.database):
            state = f"revoked {stream.revoked_at:%Y-%m-%d}" if stream.revoked_at else "valid"
            last = f"last records {stream.last_at:%Y-%m-%d %H:%M}" if stream.last_at else "no records yet"
            console.print(
                f"{stream.name}: {stream.stream_id}, made {stream.created_at:%Y-%m-%d}, {state}, {last}", markup=False
            )


@streams.command("revoke")
def revoke_stream(name: Annotated[str, typer.Argument(help="Name of the stream.")]) -> None:
    """Make a stream stop working at once; what it brought stays."""
    from services.access import stream_credentials as known

    with _runtime(load_settings()) as runtime:
        runtime.check_schema()
        known.revoke_stream(runtime.database, name, now=runtime.clock())
        console.print(f"{name} is revoked", markup=False)


@feedback.command("add")
def add_feedback(
    iccid: Annotated[str | None, typer.Option(help="It is about this SIM.")] = None,
    label: Annotated[str | None, typer.Option(help="It is about SIMs whose label begins so.")] = None,
    kind: Annotated[str | None, typer.Option(help="It is about this kind of anomaly, such as spike.")] = None,
    note: Annotated[str, typer.Option(help="Why it was a false alarm.")] = "",
) -> None:
    """Acknowledge a false alarm: what it is about must be ten times rarer from now on to be raised again."""
    from ml.anomaly import KINDS

    if iccid is None and label is None and kind is None:
        raise SettingsError("give --iccid, --label or --kind: what the false alarm was about")
    if iccid is not None and label is not None:
        raise SettingsError("--iccid and --label: give one of them")
    if kind is not None and kind not in KINDS:
        raise SettingsError(f"--kind {kind}: expected one of {', '.join(KINDS)}")
    about = {"iccid": iccid, "label": label, "kind": kind, "note": note, "by": getpass.getuser()}
    with _runtime(load_settings()) as runtime:
        runtime.check_schema()
        made = runtime.database.row("add_feedback", about | {"now": runtime.clock()})
    if made is None:
        raise SettingsError(f"--iccid {iccid}: no such SIM is stored")
    console.print(f"feedback {made['feedback_id']} holds from the next evaluation on")


@feedback.command("list")
def list_feedback() -> None:
    """List acknowledged false alarms, those taken back too."""
    with _runtime(load_settings()) as runtime:
        runtime.check_schema()
        for row in runtime.database.rows("list_feedback"):
            about = ", ".join(f"{name} {row[name]}" for name in ("iccid", "label", "kind") if row[name] is not None)
            state = f"taken back by {row['undone_by']} {row['undone_at']:%Y-%m-%d}" if row["undone_at"] else "holds"
            said = f"{row['said_by']} {row['said_at']:%Y-%m-%d}"
            console.print(
                f"{row['feedback_id']}: {about}; {said}; {state}{'; ' + row['note'] if row['note'] else ''}",
                markup=False,
            )


@feedback.command("undo")
def undo_feedback(feedback_id: Annotated[int, typer.Argument(help="Its number in the list.")]) -> None:
    """Take an acknowledged false alarm back."""
    with _runtime(load_settings()) as runtime:
        runtime.check_schema()
        what = {"feedback_id": feedback_id, "by": getpass.getuser(), "now": runtime.clock()}
        with runtime.database.transaction() as transaction:
            done = transaction.execute("undo_feedback", what)
    if not done:
        raise SettingsError(f"feedback {feedback_id}: there is none that holds")
    console.print(f"feedback {feedback_id} is taken back")


def _try_account(settings: Settings) -> str:
    """What is wrong with the 1NCE account, or nothing."""
    from pipelines.demo import log_in
    from resources.once.errors import OnceError

    try:
        log_in(settings)
    except (OnceError, ValueError) as error:
        return str(error)
    return ""


def _end(outcome: Any) -> None:
    """Say what went wrong in a run and leave with its exit code."""
    for name, found, blocking in outcome.failed_checks:
        console.print(f"{'stopped by' if blocking else 'warning from'} {name}: {found}", markup=False)
    for error in outcome.errors:
        console.print(error, markup=False, style="red")
    if outcome.blocked:
        raise typer.Exit(3)
    if not outcome.success:
        raise typer.Exit(1)
    console.print(
        f"done, run {outcome.run_id}; {outcome.checks - len(outcome.failed_checks)} of {outcome.checks} checks passed"
    )


def _print_tree(values: dict[str, Any], indent: int = 0) -> None:
    for key, value in values.items():
        name = key.replace("_", " ") if indent == 0 else key
        if isinstance(value, dict):
            console.print(f"{'  ' * indent}{name}:", markup=False)
            _print_tree(value, indent + 1)
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else "-" if value is None else value
            console.print(f"{'  ' * indent}{name}: {shown}", markup=False)


for _name, _group in (
    ("rules", cli_alerts.rules),
    ("alerts", cli_alerts.alerts),
    ("channels", cli_channels.channels),
    ("oncall", cli_channels.oncall),
):
    app.add_typer(_group, name=_name)
app.command()(cli_channels.notify)


def main() -> None:
    """Entry point: every expected error becomes one line that says what and how to mend it, and an exit code."""
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # leave in good order: servers and child processes are stopped
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started this in the background
    try:
        app()
    except SettingsError as error:
        _fail(error, 2)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # Typer makes this of Ctrl-C, without a word
            _fail("interrupted; what was stored stays, and the next run goes on from there", INTERRUPTED)
        raise
    except (SimsightError, OSError) as error:
        _fail(error, 1)


def _fail(error: object, code: int) -> None:
    Console(stderr=True, highlight=False).print(f"simsight: {error}", markup=False, style="red", soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
