"""`simsight migrate`, `ingest`, `import`, `export`, `data-dictionary`: data in and out."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from ml.words import so_many
from pipelines.cli.common import DAY, check_target, console, end_with, opened, runtime_of
from resources.errors import UsageError
from resources.settings import SettingsError, load_settings

app = typer.Typer()


def _known_version(version: int | None) -> int | None:
    from resources.database.migrations import check_version

    if version is not None:
        check_version(version)
    return version


@app.command()
def migrate(
    to: Annotated[int | None, typer.Option(min=1, callback=_known_version, help="Stop at this version.")] = None,
) -> None:
    """Bring the database to the newest schema and add the organization of SIMSIGHT_ORGANIZATION."""
    from resources.database import migrations

    settings = load_settings()
    with runtime_of(settings) as runtime:
        applied = migrations.migrate(runtime.server.simsight, to=to)
        for migration in applied:
            console.print(f"applied {migration.name}")
        if not applied:
            console.print("nothing to apply")
        if to is None:
            migrations.ensure_organization(runtime.server.simsight, settings.organization)


@app.command()
def ingest(
    first: Annotated[datetime | None, typer.Option("--from", **DAY, help="First usage day; default: today.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", **DAY, help="Last usage day; default: today.")] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Only parse the quarantined records again.")] = False,
) -> None:
    """Ask 1NCE for everything about the fleet and store it. Interrupted, it goes on where it stopped.

    A SIM's first usage call covers six months back; --from and --to ask for more of the past again.
    """
    from pipelines.demo import log_in, prepare
    from pipelines.runs import refuse_future, run_job

    settings = load_settings()
    with runtime_of(settings) as opened:
        today = opened.clock().date()
        days = (first.date() if first else today, last.date() if last else today)
        if not replay:
            refuse_future(settings)
            if not settings.first_day <= days[0] <= days[1] <= today:
                raise SettingsError(
                    f"--from {days[0]} --to {days[1]}: expected days in order, from {settings.first_day} to {today}"
                )
            if settings.database_url is None and not settings.home.exists():
                settings.account()  # refused at once: a database to be made holds no account either
        prepare(opened)
        runtime = opened.for_organization()
        if replay:
            from services.ingest.replay import replay as replay_quarantine

            done = replay_quarantine(runtime.database, now=runtime.clock())
            console.print(f"{done.passed} of {done.tried} quarantined records passed now; {done.merged.new} rows new")
            return
        runtime.once()  # says at once that no account is set, or that the database holds another kind of data
        log_in(runtime.settings)
        end_with(run_job(runtime, "ingest", first=days[0], last=days[1]))


@app.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            help="CSV, XLSX or Parquet file; docs/data.md lists the columns.",
        ),
    ],
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
    separator: Annotated[
        str | None, typer.Option(help="Of a CSV: comma, semicolon, tab or pipe; default: found in the file.")
    ] = None,
    decimal: Annotated[
        Literal["point", "comma"] | None,
        typer.Option(help="What stands before the decimals of a volume; default: found in the file."),
    ] = None,
    dates: Annotated[
        Literal["day-first", "month-first"] | None,
        typer.Option(help="How 03/04/2026 is meant; default: found in the file."),
    ] = None,
    encoding: Annotated[
        Literal["utf-8", "utf-16", "windows-1252"] | None,
        typer.Option(help="Of a CSV; default: found in the file."),
    ] = None,
    good_rows: Annotated[
        bool, typer.Option("--good-rows", help="Import the good rows; bad ones wait in quarantine.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong with the file.")] = False,
) -> None:
    """Import daily usage, SIMs, labels or tickets from a file: all of it, or nothing when a row is bad."""
    from pipelines.demo import prepare
    from resources.files.csv_form import csv_options
    from resources.files.formats import ImportRejectedError
    from services.ingest.file_import import check_file, read_mapping, schema_named
    from services.ingest.file_import import import_file as import_rows
    from services.ingest.notation import told_notation

    try:
        names = read_mapping(mapping, renamed or [])
        csv = csv_options(encoding, separator)
    except ImportRejectedError as error:  # so far only options were read
        raise UsageError(str(error)) from error
    schema = schema_named(kind)
    check_file(file, schema, mapping=names, sheet=sheet, csv=csv)
    with runtime_of(load_settings()) as runtime:
        prepare(runtime)
        done = import_rows(
            runtime.database,
            file,
            schema,
            now=runtime.clock(),
            only_all=not good_rows,
            dry_run=dry_run,
            mapping=names,
            sheet=sheet,
            csv=csv,
            told=told_notation(decimal, dates),
        )
        if done.read_as:
            console.print(f"read as: {', '.join(done.read_as)}", markup=False)
        for note in done.notes:
            console.print(note, markup=False)
        if done.ignored:
            console.print(f"columns not used: {', '.join(done.ignored)}", markup=False)
        for line, reason in done.rejected.select("line", "reason").head(20).iter_rows():
            console.print(f"{done.unit} {line}: {reason}", markup=False)
        if dry_run:
            console.print(
                f"{file} can be imported"
                if done.rejected.is_empty()
                else so_many(done.rejected.height, "row", "is bad", "are bad")
            )
            return
        merged = done.merged
        console.print(
            f"{so_many(merged.rows, 'row')}: {merged.new} new, {merged.changed} changed, "
            f"{merged.unchanged} known already; {done.rejected.height} bad ones in quarantine"
        )
        if done.waited:
            console.print(f"{done.waited} rows of earlier files that waited for these SIMs are stored too")


@app.command("export")
def export_rows(
    view: Annotated[str, typer.Argument(help="View without its version, such as sims, sim_usage or exhaustions.")],
    to: Annotated[Path, typer.Option("--to", callback=check_target, help="File to write: .csv, .xlsx or .parquet.")],
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
    from services.exports import Export, check_export, export_file

    chosen = [name.strip() for name in columns.split(",")] if columns else []
    wanted = Export(view, format_of(to), where or [], chosen)
    check_export(wanted)
    with runtime_of(load_settings()) as runtime:
        prepare(runtime)
        console.print(f"{so_many(export_file(runtime.database, wanted, to), 'row')} in {to}", markup=False)


@app.command("data-dictionary")
def data_dictionary() -> None:
    """Print every table, view and column with what it means, as Markdown, from the comments in the database."""
    from services.data_dictionary import data_dictionary as made_of

    with opened() as runtime:
        typer.echo(made_of(runtime.database), nl=False)
