"""Questions in plain language."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api.dependencies import ReadingForQuestion
from api.errors import problems
from api.schemas.questions import QuestionAnswer, QuestionToAsk

router = APIRouter(tags=["questions"])
ANSWERS = problems(400, 401, 413, 422, 503)


@router.post("/v1/ai/query", summary="Ask a question in plain language", responses=ANSWERS)
@router.post("/ai/query", summary="Ask a question in plain language", responses=ANSWERS, include_in_schema=False)
def ask(request: Request, reading: ReadingForQuestion, asked: QuestionToAsk) -> QuestionAnswer:
    """Answer a question in English or German about usage, quotas, forecasts, anomalies, costs, tickets and alerts.

    Rules, or where the operator has set one a language model, turn it into a typed question; one compiler turns that
    into SQL with parameters over the documented views. A question that is not understood is an answer too, without
    rows: `understood` is false and `sentence` says what can be asked."""
    state = request.app.state
    answer = reading.do(
        lambda session: session.answer(asked.question, state.clock(), asked.language, state.language_model)
    )
    return QuestionAnswer.model_validate(answer, from_attributes=True)
