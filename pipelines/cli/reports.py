"""`simsight report` and `simsight reports`: a report of any period now, and those that are made again and again."""

from __future__ import annotations

from datetime import datetime, timedelta
from getpass import getuser
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from pipelines.cli.common import DAY, HOUR, AsJson, By, console, opened, print_rows
from resources.errors import UsageError
from resources.files.formats import REPORT_FORMATS, REPORT_SUFFIXES, ReportFormat

app = typer.Typer()
reports = typer.Typer(help="Reports that are kept, and schedules that make and send them.", no_args_is_help=True)
DEFAULT_DAYS = 30
Country = Annotated[str | None, typer.Option(help="Only SIMs last seen in this country, such as Germany.")]
Label = Annotated[str | None, typer.Option("--label", help="Only SIMs whose label begins so.")]
ScheduleName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule.")]


def _format(text: str) -> str:
    if text not in REPORT_FORMATS:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(REPORT_FORMATS)}")
    return text


Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format", parser=_format, metavar="|".join(REPORT_FORMATS), help="Format; repeatable. csv is a zip of files."
    ),
]


@app.command("report")
def report(
    first: Annotated[
        datetime | None, typer.Option("--from", **DAY, help="First UTC day; default: 30 days up to the last.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", **DAY, help="Last UTC day; default: the last complete day.")
    ] = None,
    label: Label = None,
    country: Country = None,
    formats: Formats = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write, or a folder; default: this folder.")
    ] = Path(),
    keep: Annotated[bool, typer.Option("--keep", help="Keep it in the database too, with the name `by hand`.")] = False,
) -> None:
    """Make a report of a period: usage, cost, exhaustion, anomalies, churn, savings, quality of data and models."""
    from services.reports import kept as service
    from services.reports.formats import check_formats
    from services.reports.sections.asking import Wanted

    chosen = cast(list[ReportFormat], formats or [_format_of(output)])
    if not output.is_dir():
        if len(chosen) > 1 and (output.exists() or not output.absolute().parent.is_dir()):
            raise UsageError(f"{output} is no folder: several formats need one")
        if not output.absolute().parent.is_dir():
            raise UsageError(f"{output}: there is no folder {output.parent}")
    check_formats(chosen)
    with opened() as runtime:
        end = last.date() if last else runtime.last_complete_day()
        wanted = Wanted(first.date() if first else end - timedelta(days=DEFAULT_DAYS - 1), end, label, country)
        made = service.make(runtime, wanted)
        files = service.files_of(made, chosen)
        if keep:
            with runtime.database.transaction() as transaction:
                service.keep(transaction, made, files, name="by hand", now=runtime.clock())
    if len(files) > 1:
        output.mkdir(exist_ok=True)
    for format, content in files.items():
        path = output / service.file_name(made, format) if output.is_dir() else output
        service.write(path, content)
        console.print(f"{path}: {made.period}, {made.scope}", markup=False)
    console.print(made.sections[0].reading, markup=False)


def _format_of(output: Path) -> ReportFormat:
    """The format that a file name asks for; PDF for a folder. Raises UsageError."""
    if output.is_dir():
        return "pdf"
    for format in REPORT_FORMATS:
        if output.suffix.lower() in (f".{format}", f".{REPORT_SUFFIXES[format]}"):
            return format
    raise UsageError(f"{output.name}: the name must end with .json, .zip, .xlsx, .html or .pdf, or --format says which")


@reports.command("list")
def list_reports(as_json: AsJson = False) -> None:
    """List the reports that are kept, the newest first."""
    from services.reports.kept import kept_reports

    with opened() as runtime:
        rows = kept_reports(runtime)
    shown = [row | {"formats": ", ".join(row["formats"] or [])} for row in rows]
    columns = ["report_id", "name", "first_day", "last_day", "label", "country", "formats", "made_at"]
    print_rows(rows if as_json else shown, columns, as_json=as_json, none="no report is kept yet")


@reports.command("get")
def get_report(
    report_id: Annotated[int, typer.Argument(help="Its number, as the list gives it.")],
    format: Annotated[ReportFormat, typer.Option("--format", help="In which format.")] = "pdf",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write, or a folder; default: this folder.")
    ] = Path(),
) -> None:
    """Write a report that is kept to a file."""
    from services.reports import kept as service

    with opened() as runtime:
        name, content = service.kept_file(runtime, report_id, format)
    path = output / name if output.is_dir() else output
    service.write(path, content)
    console.print(str(path), markup=False)


@reports.command("schedule")
def add_schedule(
    name: ScheduleName,
    every: Annotated[Literal["daily", "weekly", "monthly"], typer.Argument(help="Of which periods (UTC days).")],
    channels: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="CHANNEL", help="Channel that gets it (simsight channels); repeatable."),
    ] = None,
    formats: Formats = None,
    at: Annotated[datetime | None, typer.Option(**HOUR, help="Local time from which it is made: 07:00.")] = None,
    zone: Annotated[str, typer.Option("--zone", help="Time zone, such as Europe/Berlin.")] = "UTC",
    label: Label = None,
    country: Country = None,
    by: By = None,
) -> None:
    """Make a report again and again and send it; without --to it is kept only. E-mail has the files, others a link."""
    from services.reports import schedules as service
    from services.reports.periods import check_schedule

    chosen = cast(list[ReportFormat], formats or ["pdf"])
    check_schedule(name, formats=chosen, zone=zone)
    time = (at or datetime(2000, 1, 1, 7)).time()  # noqa: DTZ001 - its time of day counts
    with opened() as runtime:
        service.add_schedule(
            runtime,
            name,
            every=every,
            formats=chosen,
            channels=channels or [],
            at=time,
            zone=zone,
            by=by or f"user {getuser()}",
            label=label,
            country=country,
        )
    console.print(f"{name} is set: {every} at {time:%H:%M} {zone}", markup=False)


@reports.command("schedules")
def list_schedules(as_json: AsJson = False) -> None:
    """List the schedules."""
    with opened() as runtime:
        rows = runtime.database.rows("report_schedules")
    shown = [row | {"formats": ", ".join(row["formats"]), "channels": ", ".join(row["channels"])} for row in rows]
    columns = [
        "name",
        "every",
        "at_time",
        "time_zone",
        "label",
        "country",
        "formats",
        "channels",
        "made_to",
        "paused_at",
    ]
    none = "there is no schedule yet: `simsight reports schedule`"
    print_rows(rows if as_json else shown, columns, as_json=as_json, none=none)


@reports.command("pause")
def pause_schedule(name: ScheduleName, by: By = None) -> None:
    """Pause a schedule: nothing is made until it is resumed."""
    _pause(name, by, paused=True)


@reports.command("resume")
def resume_schedule(name: ScheduleName, by: By = None) -> None:
    """Let a schedule run again, from the next period that is due."""
    _pause(name, by, paused=False)


def _pause(name: str, by: str | None, *, paused: bool) -> None:
    from services.reports import schedules as service

    with opened() as runtime:
        service.pause_schedule(runtime, name, paused=paused, by=by or f"user {getuser()}")
    console.print(f"{name} is paused" if paused else f"{name} runs", markup=False)


@reports.command("remove")
def remove_schedule(name: ScheduleName, by: By = None) -> None:
    """Remove a schedule; the reports it made stay."""
    from services.reports import schedules as service

    with opened() as runtime:
        service.remove_schedule(runtime, name, by=by or f"user {getuser()}")
    console.print(f"{name} is removed", markup=False)


@reports.command("make")
def make_due() -> None:
    """Make the reports that are due, each once, and put them into the outbox: `simsight notify` sends them."""
    from services.reports import schedules as service

    with opened() as runtime:
        done = service.make_due(runtime)
    said = ", ".join(f"{count} {name}" for name, count in done.items() if count)
    console.print(said or "no report is due", markup=False)
