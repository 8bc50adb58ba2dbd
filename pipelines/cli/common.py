"""What the commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml.words import so_many
from pipelines.console import PlainConsole, print_table
from resources.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from resources.runtime import Runtime


console = PlainConsole(highlight=False, soft_wrap=True)


def moment(form: str, shown: str) -> Callable[[str], datetime]:
    """Parse an option that is a day or a time of the format `form`; messages say how it looks in words."""

    def parse(text: str | datetime) -> datetime:
        if isinstance(text, datetime):  # a default
            return text
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - the command says of which zone it is
        except ValueError:
            raise typer.BadParameter(f"{text!r} does not exist or is not written as {shown}") from None

    return parse


def iccid(text: str) -> str:
    """Parse an option that names a SIM: 19 digits of an ICCID's 19, or of 20 with the check digit."""
    from resources.once.values import without_check_digit

    try:
        return without_check_digit(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}") from None


DAY: dict[str, Any] = {"parser": moment("%Y-%m-%d", "YYYY-MM-DD"), "metavar": "YYYY-MM-DD"}
HOUR: dict[str, Any] = {"parser": moment("%H:%M", "HH:MM"), "metavar": "HH:MM"}
MINUTE: dict[str, Any] = {"parser": moment("%Y-%m-%dT%H:%M", "YYYY-MM-DDTHH:MM"), "metavar": "YYYY-MM-DDTHH:MM"}


def runtime_of(settings: Settings) -> Runtime:
    from resources.runtime import Runtime

    return Runtime(settings)


def end_with(outcome: Any) -> None:
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


AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]
By = Annotated[str | None, typer.Option(help="Who does it; default: the user of this machine.")]
Label = Annotated[str | None, typer.Option("--label", help="Only SIMs whose label begins so.")]
ICCID: dict[str, Any] = {"parser": iccid, "metavar": "ICCID"}
Sims = Annotated[
    list[str] | None, typer.Option("--sim", **ICCID, help="Only this ICCID, of 19 or 20 digits; repeatable.")
]


@contextmanager
def opened() -> Iterator[Runtime]:
    """The runtime of a command, for the organization of SIMSIGHT_ORGANIZATION; its database must be up to date."""
    from resources.runtime import Runtime

    with Runtime(load_settings()) as runtime:
        runtime.check_schema()
        yield runtime.for_organization()


def scope(label: str | None, sims: Sequence[str] | None) -> dict[str, Any]:
    """Whom --label and --sim are about."""
    if label is not None and sims:
        raise SettingsError("--label and --sim: give one of them")
    return {"label_prefix": label} if label is not None else {"iccids": list(sims)} if sims else {}


def print_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, as_json: bool, none: str) -> None:
    """Rows as a table of some of their columns, or whole as JSON; `none` where there are none."""
    if as_json:
        typer.echo(json.dumps(list(rows), indent=2, default=str))
        return
    if not rows:
        console.print(none, markup=False)
        return
    headings = [column.replace("_", " ") for column in columns]
    print_table(console, headings, [[_shown(row[c]) for c in columns] for row in rows])


def check_target(file: Path) -> Path:
    """Refuse a file that cannot be written, before anything is started."""
    if file.is_dir():
        raise typer.BadParameter(f"{file} is a folder")
    if not file.absolute().parent.is_dir():
        raise typer.BadParameter(f"{file}: there is no folder {file.parent}")
    return file


def who(by: str | None) -> str:
    """Who does it: as given, else the user of this machine."""
    import getpass

    return by or f"user {getpass.getuser()}"


def show_deleted(rows: dict[str, int], *, done: bool) -> None:
    """Say how many rows of each table were deleted, or would be."""
    for table, number in rows.items():
        console.print(f"{table}: {number}", markup=False)
    total = sum(rows.values())
    console.print(f"{so_many(total, 'row')} {'' if done else 'would be '}deleted or erased")


def _shown(value: Any) -> str:
    from rich.markup import escape

    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None or value in ("", {}) else escape(str(value))
