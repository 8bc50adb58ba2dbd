"""`simsight storage`."""

from __future__ import annotations

import typer

from pipelines.cli.common import AsJson, console, opened, print_rows

storage = typer.Typer(help="Say what the tables hold and take; move a database to TimescaleDB.")
COLUMNS = (
    "table",
    "rows",
    "mb",
    "index_mb",
    "chunks",
    "compressed_chunks",
    "compressed_mb",
    "ratio",
    "oldest",
    "newest",
)


@storage.callback(invoke_without_command=True)
def show_storage(context: typer.Context, as_json: AsJson = False) -> None:
    """Say of each table how many rows it holds, how much room it takes and from which day on it reaches."""
    if context.invoked_subcommand is not None:
        return
    from services.storage import storage as collected

    with opened() as runtime:
        rows = collected(runtime.server.simsight)
    shown = [row | {f"{name}mb": _mb(row[f"{name}bytes"]) for name in ("", "index_", "compressed_")} for row in rows]
    print_rows(rows if as_json else shown, COLUMNS, as_json=as_json, none="no tables")
    if not as_json:
        console.print("Rows are estimates. MB count indexes and what is compressed.")


def _mb(size: int | None) -> float | None:
    return None if size is None else round(size / 1e6, 2)


@storage.command("upgrade")
def upgrade_storage() -> None:
    """Make TimescaleDB's hypertables of a database that was filled on plain PostgreSQL, with all its rows.

    Stop what reads and writes before; interrupted, it loses nothing and goes on when it is run again.
    """
    from resources.database.upgrade import upgrade

    with opened() as runtime:
        done = upgrade(runtime.server.simsight, lambda text: console.print(text, markup=False))
    console.print(f"{len(done)} tables are hypertables now" if done else "nothing to do", markup=False)
