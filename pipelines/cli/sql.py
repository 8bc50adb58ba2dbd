"""`simsight sql`: free SQL, where it is switched on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from pipelines.cli.common import AsJson, console, opened, print_rows

app = typer.Typer()


@app.command("sql")
def run_sql(
    text: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT over the published views (docs/sql.md).")],
    as_json: AsJson = False,
) -> None:
    """Run one SELECT with a login of SIMSIGHT_FREE_SQL that is bound to the organization."""
    from resources.text import escaped
    from services.free_sql import FreeSql, FreeSqlOffError

    with opened() as runtime:
        urls = runtime.settings.free_sql_urls
        if not urls:
            raise FreeSqlOffError("free SQL is switched off: SIMSIGHT_FREE_SQL switches it on (docs/sql.md)")
        answer = FreeSql(urls).run(text, runtime.settings.organization, runtime.clock())
    if as_json:
        typer.echo(json.dumps(asdict(answer), indent=2, default=str))
        return
    # columns may have the same name
    names = [f"{column.name}{' ' * at}" for at, column in enumerate(answer.columns)]
    print_rows([dict(zip(names, row, strict=True)) for row in answer.rows], names, as_json=False, none="no rows")
    more = "; there are more rows" if answer.truncated else ""
    console.print(escaped(f"data to {answer.as_of}{more}"), markup=False)
