"""`simsight storage`."""

from __future__ import annotations

import typer

from pipelines.cli.common import console, opened

storage = typer.Typer(help="Move a database to TimescaleDB.", no_args_is_help=True)


@storage.command("upgrade")
def upgrade_storage() -> None:
    """Make TimescaleDB's hypertables of a database that was filled on plain PostgreSQL, with all its rows.

    Stop what reads and writes before; interrupted, it loses nothing and goes on when it is run again.
    """
    from resources.database.upgrade import upgrade

    with opened() as runtime:
        done = upgrade(runtime.server.simsight, lambda text: console.print(text, markup=False))
    console.print(f"{len(done)} tables are hypertables now" if done else "nothing to do", markup=False)
