"""The question box."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from api.dashboard.routing import router
from api.dashboard.signing import SignedIn
from api.dashboard.web import chart, language, page, translate
from api.database import Store
from services.access.api_keys import Credential
from services.questions.answers import EXAMPLES, Answer


@router.get("/ask")
async def ask(request: Request, asked: SignedIn, question: Annotated[str, Query(max_length=2000)] = "") -> Response:
    """A question in plain language and its answer."""
    to = language(request)
    answer = None
    if question.strip():
        answer = await run_in_threadpool(_answer, request, asked.key, question, to)
    drawn = _answer_chart(answer, to) if answer and answer.understood else None
    return page(request, "ask.html", question=question, answer=answer, drawn=drawn, examples=EXAMPLES[to][:8])


def _answer(request: Request, key: Credential, question: str, to: str) -> Answer:
    store: Store = request.app.state.store
    return store.read(key, lambda session: session.answer(question, request.app.state.clock(), to))


def _answer_chart(answer: Answer, to: str) -> dict[str, Any] | None:
    """The rows of an answer by day as a chart; None where they are better read."""
    if answer.chart != "line" or "day" not in answer.columns or not answer.rows:
        return None
    rows = sorted(answer.rows, key=lambda row: row["day"])
    values = [None if row["value"] is None else float(row["value"]) for row in rows]
    series = [{"label": translate("value", to), "kind": "bars", "values": values}]
    return chart([row["day"] for row in rows], series, to=to, unit=answer.unit or "")
