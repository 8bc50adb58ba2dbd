"""Answers about models, how good they were, and how fresh the data is."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from api.schemas.common import Cursor, MlflowRun

Role = Literal["champion", "challenger", "retired"]


class ModelVersion(BaseModel):
    """A trained version of a model and how good it was on days it had not seen."""

    model_name: str = Field(examples=["usage-forecaster"])
    model_version: int = Field(examples=[3])
    role: Role = Field(description="champion scores; challenger lost to it; retired was champion before")
    as_of: date = Field(description="Last complete day it knew")
    trained_at: datetime
    metrics: dict[str, Any] = Field(description="Figures of its backtest by name", examples=[{"rmase": 0.81}])
    comparison: dict[str, Any] | None = Field(
        description="It, the champion of the time and a baseline on the same days; null: nothing to compare"
    )
    why: str | None = Field(description="Why it became champion or challenger when it was trained")
    champion_since: datetime | None = Field(description="When it last became champion; null: never")
    decided_by: str | None = Field(description="training, or who made it champion", examples=["training"])
    mlflow_run: MlflowRun
    card: str | None = Field(
        description="Its model card in MLflow; null where SIMSIGHT_MLFLOW_URL is not set",
        examples=["https://mlflow.example.com/#/models/usage-forecaster/versions/3"],
    )


class Model(BaseModel):
    """A model by its version that scores, and those that wait behind it."""

    model_name: str = Field(examples=["usage-forecaster"])
    champion: ModelVersion | None
    challengers: list[ModelVersion] = Field(description="Newest first; the ten newest at most")


class ModelList(BaseModel):
    items: list[Model]


class BacktestPage(BaseModel):
    items: list[ModelVersion]
    next: str | None = Field(description="Pass as `after` for the next page; null on the last")


class BacktestCursor(Cursor):
    """The last version of a page."""

    model_name: str = Field(max_length=200, pattern=r"^[^\x00]*$")
    model_version: int = Field(ge=0, le=2**31 - 1)


class SourceAge(BaseModel):
    """How old the answers of one call of 1NCE are."""

    source: str = Field(examples=["usage"])
    asked_at: datetime | None = Field(description="When the last complete pass over the fleet ended; null: never")
    age_hours: float | None = Field(description="Hours since then", examples=[9.0])
    under_way_since: datetime | None = Field(description="When the pass that is under way began; null: none is")
    gone_since: datetime | None = Field(
        description="Since when 1NCE answers the call in no version of its API; null: it does"
    )


class UsageSource(BaseModel):
    """From where the usage of the last day is known, and how well."""

    source: str = Field(description="call, file, stream or quota", examples=["call"])
    grade: str = Field(description="A exact, B known, C only the sum of several days is known", examples=["A"])
    sims: int = Field(examples=[980])


class Freshness(BaseModel):
    as_of: date | None = Field(description="Last complete day of the newest predictions; null: none yet")
    predicted_at: datetime | None = Field(description="When they were made")
    age_hours: float | None = Field(description="Hours since the end of as_of", examples=[12.0])
    grades: dict[str, int] = Field(
        description="SIMs by data grade of these predictions: A usage known to the end of as_of and a fresh quota, B "
        "usage known, C one or two last days unknown, D more",
        examples=[{"A": 980, "C": 20}],
    )
    usage: list[UsageSource] = Field(description="Of as_of")
    sources: list[SourceAge]


class Report(BaseModel):
    """A fleet report, which /v1/report?as_of= shows."""

    as_of: date
    created_at: datetime
    href: str = Field(examples=["/v1/report?as_of=2026-01-10"])


class KeptReport(BaseModel):
    """A report of a period that is kept; `href`?format= is its file."""

    report_id: int = Field(examples=[1])
    name: str = Field(examples=["weekly"])
    first_day: date
    last_day: date
    as_of: date | None = Field(description="Of its predictions; null: it has none")
    label: str | None = Field(description="Only of SIMs whose label begins so; null: of all")
    country: str | None = Field(description="Only of SIMs last seen there; null: of all")
    data_note: str = Field(description="Such as synthetic data; empty for a real fleet")
    made_at: datetime
    formats: list[str] = Field(examples=[["pdf", "xlsx"]])
    href: str = Field(examples=["/v1/reports/kept/1"])


class KeptReportPage(BaseModel):
    items: list[KeptReport] = Field(description="Newest first")
    next: int | None = Field(description="Pass as `after` for the next page; null on the last")


class ReportPage(BaseModel):
    items: list[Report] = Field(description="Newest first")
    next: str | None = Field(description="Pass as `after` for the next page; null on the last")
