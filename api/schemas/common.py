"""What answers have in common."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

BYTES_PER_MB = 1_000_000


class Volume(BaseModel):
    """A data volume, exact in bytes (accounting bytes: millionths of a MB) and readable in MB."""

    bytes: int = Field(description="Millionths of a MB", examples=[1_250_000])
    mb: float = Field(description="The same in MB", examples=[1.25])


def _volume(value: Any) -> Any:
    return {"bytes": value, "mb": value / BYTES_PER_MB} if isinstance(value, int) else value


Amount = Annotated[Volume, BeforeValidator(_volume)]
Probability = Annotated[float | None, Field(ge=0, le=1)]
MlflowRun = Annotated[
    str | None,
    Field(
        description="The MLflow run that trained the model: its address where SIMSIGHT_MLFLOW_URL is set, else its id; "
        "null: not recorded",
        examples=["https://mlflow.example.com/#/runs/0f3c9a"],
    ),
]


LearntFrom = Annotated[
    Literal["the fleet", "simulated fleets"],
    Field(
        description="What the model learnt from. Simulated fleets (synthetic data): the starter model, which only a "
        "simulated fleet has, until its own history is enough",
        examples=["the fleet"],
    ),
]


class Health(BaseModel):
    status: Literal["ok"]
    schema_version: int = Field(description="Newest database migration applied", examples=[7])


class FieldProblem(BaseModel):
    field: str = Field(examples=["limit"])
    message: str = Field(examples=["Input should be less than or equal to 1000"])


class Problem(BaseModel):
    """What went wrong and how to fix it (RFC 9457)."""

    type: Literal["about:blank"] = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no SIM with ICCID 8988228066033960000 in this organization."])
    errors: list[FieldProblem] = Field([], description="The parameters that are wrong")
    request_id: str = Field("", description="Id of the request, as in the header X-Request-ID and in the service's log")


class Cursor(BaseModel):
    """Where a walk through pages stands, as text that means nothing to who passes it on."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    def encode(self) -> str:
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Self:
        """Raises ValueError for a text that `encode` did not make."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return cls.model_validate_json(raw)
        except ValueError as error:
            raise ValueError("not a cursor of this list") from error
