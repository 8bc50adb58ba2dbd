"""Free SQL, where it is switched on."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request

from api.database import TooSlowError
from api.dependencies import OpenedForSql
from api.errors import ProblemError, problems
from api.schemas.free_sql import SqlRows, SqlToRun
from resources.errors import UsageError
from services.free_sql import SECONDS, FreeSql, FreeSqlLoginError, FreeSqlOffError, FreeSqlTooSlowError

log = logging.getLogger(__name__)
router = APIRouter(tags=["questions"])


@router.post("/v1/sql", summary="Run a query of your own", responses=problems(400, 401, 404, 413, 422, 503))
def run_sql(request: Request, session: OpenedForSql, asked: SqlToRun) -> SqlRows:
    """Run one SELECT over the published views, where the operator has switched it on for the organization.

    It is checked against a list of what is allowed, may not cost too much, runs at most 10 seconds and reads one
    organization."""
    free: FreeSql | None = request.app.state.free_sql
    if free is None:
        raise ProblemError(404, "Free SQL is switched off here: the operator switches it on with SIMSIGHT_FREE_SQL.")
    assert session.organization_id is not None
    try:
        answer = free.run(asked.sql, session.organization_id, request.app.state.clock())
    except FreeSqlOffError as error:
        raise ProblemError(404, _sentence(error)) from None
    except FreeSqlTooSlowError as error:
        raise TooSlowError(SECONDS) from error
    except FreeSqlLoginError as error:
        log.error("%s", error)
        detail = "Free SQL is not set up rightly: the operator finds the cause in the service's log."
        raise ProblemError(503, detail) from None
    except UsageError as error:
        raise ProblemError(422, _sentence(error)) from None
    return SqlRows.model_validate(answer, from_attributes=True)


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
