"""Answers and requests about bulk actions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from api.schemas.alerts import as_written
from ml.enums import AlertKind, BulkAction, BulkState, QuotaAction, Severity, SimState
from resources.once.values import without_check_digit
from services.bulk import MAX_THINGS, TYPED_ABOVE

MAX_NAMED = 40_000  # a body is at most 1 MB
TEXT = r"^[^\x00]*$"
LabelText = Annotated[str, Field(min_length=1, max_length=500, pattern=TEXT)]
Number = Annotated[int, Field(ge=1, le=2**63 - 1)]
# a time without a zone is UTC
Time = Annotated[
    datetime,
    Field(strict=False),
    BeforeValidator(as_written),
    AfterValidator(lambda time: time if time.tzinfo else time.replace(tzinfo=UTC)),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AlertConditions(_Strict):
    """Alerts that are not over and for which all of this holds; {} are all of them."""

    kind: AlertKind | None = Field(None, examples=["exhaustion"])
    severity: Severity | None = Field(None, examples=["info"])
    state: Literal["open", "acknowledged", "snoozed"] | None = Field(
        None, description="open: neither acknowledged nor snoozed; default: any"
    )
    rule_id: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(None, description="Alerts of this rule")
    label: LabelText | None = Field(None, description="Of SIMs with exactly this label")
    label_prefix: LabelText | None = Field(None, description="Of SIMs whose label begins so", examples=["pump-"])
    opened_before: Time | None = Field(None, examples=["2026-01-12T08:00:00Z"])


class RecommendationConditions(_Strict):
    """Recommendations of the latest day that advise something and for which all of this holds; {} are all of them."""

    recommended: QuotaAction | None = Field(None, description="The action advised", examples=["top_up"])
    decision: Literal["open", "accepted", "dismissed"] | None = Field(None, description="open: nobody decided")
    min_saving_minor: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = Field(
        None, description="Expected saving at least", examples=[500]
    )
    label: LabelText | None = Field(None, description="For SIMs with exactly this label")
    label_prefix: LabelText | None = Field(None, description="For SIMs whose label begins so")


class SimConditions(_Strict):
    """SIMs for which all of this holds; {} are all of them."""

    status: Literal["Enabled", "Disabled"] | None = Field(None, examples=["Enabled"])
    state: SimState | None = Field(None, examples=["silent"])
    country: Annotated[str, Field(max_length=100, pattern=TEXT)] | None = Field(None, examples=["Germany"])
    label: LabelText | None = Field(None, description="SIMs shown with exactly this label now")
    label_prefix: LabelText | None = Field(None, description="SIMs whose label begins so now")


class _Chosen(_Strict):
    """Things that are named, or that conditions hold for."""

    by: Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT)] | None = Field(
        None, description="Who does it, beside the API key's name", examples=["ann"]
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (getattr(self, "ids", None) is None) == (getattr(self, "filter", None) is None):
            raise ValueError("give either ids or filter; filter {} chooses all")
        return self


class BulkOfAlerts(_Chosen):
    """Acknowledge, snooze, resolve or reopen alerts."""

    action: Literal["acknowledge-alerts", "snooze-alerts", "resolve-alerts", "reopen-alerts"] = Field(
        examples=["resolve-alerts"]
    )
    ids: Annotated[list[Number], Field(min_length=1, max_length=MAX_NAMED)] | None = None
    filter: AlertConditions | None = Field(None, examples=[{"kind": "exhaustion"}])
    note: Annotated[str, Field(max_length=2000, pattern=TEXT)] | None = Field(None, examples=["new firmware on Monday"])
    until: Time | None = Field(None, description="For snooze-alerts: when they are open again")

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if (self.until is not None) != (self.action == "snooze-alerts"):
            raise ValueError("until is needed for snooze-alerts, and for nothing else")
        return self


class BulkOfRecommendations(_Chosen):
    """Accept or dismiss recommendations. Nothing is ordered by that."""

    action: Literal["accept-recommendations", "dismiss-recommendations"]
    ids: Annotated[list[Number], Field(min_length=1, max_length=MAX_NAMED)] | None = None
    filter: RecommendationConditions | None = None
    reason: Annotated[str, Field(max_length=2000, pattern=TEXT)] | None = Field(None, examples=["next quarter"])


class BulkOfSims(_Chosen):
    """Give SIMs a label of your own, which is shown in the place of 1NCE's, or take it away. 1NCE is told nothing."""

    action: Literal["set-labels", "remove-labels"]
    ids: (
        Annotated[
            list[Annotated[str, Field(pattern="^[0-9]{19,20}$"), AfterValidator(without_check_digit)]],
            Field(min_length=1, max_length=MAX_NAMED),
        ]
        | None
    ) = Field(None, description="ICCIDs")
    filter: SimConditions | None = None
    label: LabelText | None = Field(None, description="For set-labels", examples=["pump-south"])

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.label is not None) != (self.action == "set-labels"):
            raise ValueError("label is needed for set-labels, and for nothing else")
        return self


BulkRequest = Annotated[BulkOfAlerts | BulkOfRecommendations | BulkOfSims, Field(discriminator="action")]


class BulkThing(BaseModel):
    """One of the things that a bulk action changes."""

    id: str = Field(description="alert_id, recommendation_id or ICCID", examples=["41"])
    iccid: str | None = Field(examples=["8988228066033969969"])
    label: str | None = Field(examples=["pump-001"])
    text: str = Field(description="The alert, or what is advised, in words", examples=["pump-001 runs out in 3 days"])


class BulkListed(BaseModel):
    """An act on many things: pending until it is confirmed or cancelled, or has expired."""

    bulk_id: int = Field(examples=[7])
    action: BulkAction
    state: BulkState
    things: int = Field(description=f"How many things it changes, {MAX_THINGS:,} at most", examples=[120])
    left_out: int = Field(description="How many of the named things are not there, or are so already", examples=[0])
    chosen: dict[str, Any] = Field(
        description='The conditions, or {"ids": how many were named}', examples=[{"kind": "silent"}]
    )
    said: dict[str, Any] = Field(description="note, until, reason, label and by, where given", examples=[{}])
    digest: str = Field(
        description="SHA-256 of the things and of how each was: another digest, another set",
        examples=["9f2c6c1d8c6e4c5aa6b1f6e3ac1f5a0b6d3e1d7f6a5b4c3d2e1f0a9b8c7d6e5f"],
    )
    phrase: str | None = Field(
        description=f"What must be typed to confirm it; null for {TYPED_ABOVE} things and fewer",
        examples=["resolve 120 alerts"],
    )
    prepared_by: str = Field(examples=["API key ops by ann"])
    prepared_at: datetime
    expires_at: datetime
    ended_by: str | None = Field(description="Who confirmed or cancelled it", examples=["API key ops"])
    ended_at: datetime | None


class BulkDetail(BulkListed):
    sample: list[BulkThing] = Field(
        description="The first ten things while it is pending, the most severe or the dearest first"
    )


class BulkPage(BaseModel):
    items: list[BulkListed]
    next: int | None = Field(description="Pass as `after` for the next page; null on the last", examples=[7])


class BulkConfirmation(_Strict):
    """That it is meant."""

    phrase: Annotated[str, Field(max_length=200, pattern=TEXT)] = Field(
        "", description="The bulk action's `phrase`, typed by a person", examples=["resolve 120 alerts"]
    )
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        None, description="The digest that was looked at: refused where the bulk action has another"
    )
