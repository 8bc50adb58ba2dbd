"""`simsight ask`: questions in plain language."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from pipelines.cli.common import AsJson, console, opened, print_rows

app = typer.Typer()


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help='In English or German: "more than 1 GB yesterday".')],
    sql: Annotated[bool, typer.Option("--sql", help="Show the statement and its parameters too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Answer a question about the fleet from the views; exit code 1 when it is not understood."""
    from resources.text import escaped
    from services.questions.answers import SECONDS, answer_question
    from services.questions.language_model import model_of

    with opened() as runtime, runtime.database.transaction() as transaction:
        connection = transaction.connection
        connection.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'".encode())
        connection.execute("SET TRANSACTION READ ONLY")
        answer = answer_question(connection, question, runtime.clock(), model=model_of(runtime.settings))
    if as_json:
        shown = asdict(answer) | {"question": answer.question and answer.question.model_dump(mode="json")}
        typer.echo(json.dumps(shown, indent=2, default=str))
    else:
        console.print(escaped(answer.sentence), markup=False)
        for note in answer.assumed:
            console.print(f"  {escaped(note)}", markup=False)
        if answer.understood and answer.chart != "number":
            print_rows(answer.rows, answer.columns, as_json=False, none="no rows")
        if answer.understood:
            console.print(f"{'Daten bis' if answer.language == 'de' else 'data to'} {answer.as_of}", markup=False)
        if sql and answer.sql:
            console.print(f"\n{answer.sql}\n{answer.parameters}", markup=False)
        for example in answer.examples:
            console.print(f"  {example}", markup=False)
    if not answer.understood:
        raise typer.Exit(1)
