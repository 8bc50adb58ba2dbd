"""Many SIMs in one request."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.answers import answer, shaped
from api.dependencies import Asking
from api.errors import problems
from api.schemas.batch import AnomalySums, Batch, BatchAnswer, ForecastSums, Part, UsageSums
from api.schemas.churn import ChurnRisk
from api.schemas.predictions import Exhaustion
from api.schemas.quota import Recommendation
from api.schemas.sims import Sim

router = APIRouter(tags=["SIMs"])
MODELS: dict[Part, type[BaseModel]] = {
    "state": Sim,
    "usage": UsageSums,
    "forecast": ForecastSums,
    "exhaustion": Exhaustion,
    "anomaly": AnomalySums,
    "churn": ChurnRisk,
    "recommendation": Recommendation,
}


@router.post(
    "/v1/sims/batch",
    summary="What is known of up to 1,000 SIMs",
    response_model=BatchAnswer,
    response_model_exclude_unset=True,
    responses=problems(400, 401, 413, 422, 503),
)
async def read_batch(asking: Asking, wanted: Batch) -> Response:
    """Each part as of its SIM's latest day, and all parts as of one moment. ICCIDs that the organization does not have
    are listed and no error. Reads only: a key that may only read will do."""
    iccids = list(dict.fromkeys(wanted.iccids))
    parts = [part for part in MODELS if part in wanted.include]
    known, *answers = await asking.read(
        ("api_known_sims", {"iccids": iccids}), *((f"api_batch_{part}", {"iccids": iccids}) for part in parts)
    )
    items = {row["iccid"]: {"iccid": row["iccid"], **dict.fromkeys(parts)} for row in known}
    for part, rows in zip(parts, answers, strict=True):
        of = [row["sim"] for row in rows]
        for iccid, row in zip(of, shaped(MODELS[part], rows), strict=True):
            items[iccid][part] = row
    return answer(
        {
            "items": [items[iccid] for iccid in iccids if iccid in items],
            "unknown": [iccid for iccid in iccids if iccid not in items],
        }
    )
