"""What the HTTP service answers with, as it stands in the OpenAPI document."""

from __future__ import annotations

import base64
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ml.enums import AlertState, Severity, SimState

BYTES_PER_MB = 1_000_000


class Volume(BaseModel):
    """A data volume, exact in bytes (accounting bytes: millionths of a MB) and readable in MB."""

    bytes: int = Field(description="Millionths of a MB", examples=[1_250_000])
    mb: float = Field(description="The same in MB", examples=[1.25])


def _volume(value: Any) -> Any:
    return {"bytes": value, "mb": value / BYTES_PER_MB} if isinstance(value, int) else value


Amount = Annotated[Volume, BeforeValidator(_volume)]
Probability = Annotated[float | None, Field(ge=0, le=1)]


STATE_WORDS = (
    "ordered: not in the SIM list yet; issued: listed, not activated; activated: not heard of yet; active; silent: not heard of for "
    "unusually long; suspended: disabled, not in the SIM list any more, or quota used up; expired; deactivated: disabled or gone for "
    "long, inferred"
)


class Sim(BaseModel):
    """A SIM card, as the 1NCE SIM list last gave it, and the state of its life."""

    iccid: str = Field(description="19 digits, without the Luhn digit", examples=["8988280666000000001"])
    imei: str | None = Field(examples=["353500720000001"])
    msisdn: str | None = Field(examples=["882285000000001"])
    ip_address: str | None = Field(examples=["10.20.0.1"])
    label: str | None = Field(description="The customer's name for it", examples=["pump-001"])
    status: str | None = Field(description="Enabled or Disabled", examples=["Enabled"])
    activated_at: datetime | None
    quota_status: int | None = Field(
        description="0: more than 20 % of the data quota left, 1: less, 2: none", examples=[0]
    )
    quota_total: Amount | None = Field(description="The whole data quota")
    changed_at: datetime = Field(description="When anything the SIM list says of it last changed")
    state: SimState | None = Field(description=f"{STATE_WORDS}. null until it is first evaluated", examples=["active"])
    state_since: date | None = Field(description="UTC day from which it is in this state", examples=["2026-01-04"])


class SimPage(BaseModel):
    items: list[Sim]
    next: str | None = Field(
        description="Pass as `after` for the next page; null on the last", examples=["8988280666000000001"]
    )


class LifecycleEntry(BaseModel):
    """A state that a SIM entered, or something that happened to it."""

    occurred_on: date = Field(description="UTC day on which it happened; for a state, from which it holds")
    kind: Literal["state", "imei_change", "country_change", "top_up"]
    from_value: str | None = Field(
        description="State, IMEI or country before; null for the first known and for a top-up", examples=["active"]
    )
    to_value: str = Field(description="State, IMEI or country after; of a top-up data or sms", examples=["silent"])
    evidence: str = Field(
        examples=["Last sign of life on 2026-03-27, 4 days up to 2026-03-31; its longest usual gap is 1 d."]
    )
    as_of: date = Field(description="Last complete usage day known when it was decided")
    decided_by: str = Field(description="The state machine, or a person", examples=["state machine 1"])
    decided_at: datetime


class Lifecycle(BaseModel):
    """The state of a SIM and a page of the history that led there."""

    iccid: str = Field(examples=["8988280666000000001"])
    state: SimState | None = Field(description=f"{STATE_WORDS}. null until it is first evaluated", examples=["silent"])
    since: date | None = Field(description="UTC day from which it is in this state")
    cause: str | None = Field(
        description="Why, where a state has several causes: expiry_date, refused; disabled, unlisted, unknown, exhausted; off"
    )
    evidence: str | None = Field(description="On what it was decided, with numbers")
    items: list[LifecycleEntry] = Field(description="Newest last")
    next: str | None = Field(
        description="Pass as `after` for the next page; null on the last", examples=["2026-03-31.41"]
    )


class UsageDay(BaseModel):
    """A UTC day's usage. A day that is missing has no record yet."""

    day: date
    total: Amount = Field(description="Received and sent")
    received: Amount = Field(description="Received by the device")
    sent: Amount = Field(description="Sent by the device")
    sms_mt: int = Field(description="SMS to the device")
    sms_mo: int = Field(description="SMS from the device")
    known_at: datetime = Field(description="Since when this value is known; a correction moves it")


class Usage(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    iccid: str = Field(examples=["8988280666000000001"])
    first_day: date | None = Field(alias="from", description="First day asked for; null for a SIM without usage")
    last_day: date | None = Field(alias="to", description="Last day asked for")
    items: list[UsageDay] = Field(description="Oldest day first")


class Prediction(BaseModel):
    """Which model said it, and knowing what."""

    model_name: str = Field(examples=["usage-forecaster"])
    model_version: int = Field(description="Version in the model registry", examples=[3])
    run_id: str = Field(description="Pipeline run that scored", examples=["4f1c2d"])
    as_of: date = Field(description="Last complete day the prediction knew")
    created_at: datetime = Field(description="When it was made")
    data_age_hours: int | None = Field(
        description="Hours by which the last usage answer lies before the end of as_of; 0 when it came after; null: never asked"
    )
    data_grade: Literal["A", "B", "C", "D"] | None = Field(
        description="A: usage known to the end of as_of, quota seen no more than two days before it; B: usage known, quota older "
        "or none; C: one or two last days not known; D: more"
    )


class ForecastDay(Prediction):
    """A day ahead: the expected usage and quantiles. q10 to q90 is the 80 % interval, q025 to q975 the 95 % one."""

    day: date
    mean: Amount
    q025: Amount
    q10: Amount
    q50: Amount
    q90: Amount
    q975: Amount


class Forecast(BaseModel):
    iccid: str = Field(examples=["8988280666000000001"])
    items: list[ForecastDay] = Field(description="Nearest day first")


class Exhaustion(Prediction):
    """When a SIM's data volume or its time runs out, whichever is first."""

    iccid: str = Field(examples=["8988280666000000001"])
    label: str | None = Field(examples=["pump-001"])
    status: str = Field(
        description="ok: dates within the forecast horizon; extrapolated: the median lies beyond it; exhausted or expired: "
        "already; not_enough_evidence: no guess",
        examples=["ok"],
    )
    cause: str | None = Field(description="What ends it first at the median: volume or expiry", examples=["volume"])
    p_7: Probability = Field(description="Probability of the end within 7 days after as_of", examples=[0.1])
    p_14: Probability = Field(description="Within 14 days", examples=[0.62])
    p_30: Probability = Field(description="Within 30 days", examples=[0.97])
    p10_date: date | None = Field(description="Early date: 10 % chance that the end comes on or before it")
    p50_date: date | None = Field(description="Median date of the end")
    p90_date: date | None = Field(description="Late date: 90 %")
    remaining: Amount | None = Field(description="Data volume left at the end of as_of; may be negative")
    expires_on: date | None = Field(description="Day the SIM expires")
    p_90: Probability = Field(description="Within 90 days", examples=[1.0])
    topup_date: date | None = Field(
        description="Median day of the next automatic top-up; null for SIMs whose last top-up did not come by itself"
    )
    topups_30: float | None = Field(description="Automatic top-ups expected within 30 days", examples=[0.4])
    p_limit: Probability = Field(
        description="Probability that the monthly limit stops the SIM in the month of as_of + 1; null without a limit",
        examples=[0.2],
    )
    limit_date: date | None = Field(description="Median day of that, where it is at least as likely as not")
    sms_remaining: int | None = Field(description="SMS left at the end of as_of", examples=[231])
    sms_status: str | None = Field(
        description="As status, for the SMS quota: ok, exhausted, expired or not_enough_evidence", examples=["ok"]
    )
    sms_p_7: Probability = Field(
        description="Probability that the SMS are used up or the SIM expires within 7 days after as_of", examples=[0.0]
    )
    sms_p_14: Probability = Field(description="Within 14 days", examples=[0.0])
    sms_p_30: Probability = Field(description="Within 30 days", examples=[0.01])
    sms_p_90: Probability = Field(description="Within 90 days", examples=[0.2])
    sms_p10_date: date | None = Field(description="Early date of the end of the SMS quota: 10 %")
    sms_p50_date: date | None = Field(description="Median date of the end of the SMS quota")
    sms_p90_date: date | None = Field(description="Late date of the end of the SMS quota: 90 %")


class ExhaustionPage(BaseModel):
    items: list[Exhaustion]
    next: str | None = Field(description="Pass as `after` for the next page; null on the last")


class Alert(BaseModel):
    """An alert, from its opening to its end."""

    alert_id: int = Field(description="Rises with time", examples=[41])
    iccid: str | None = Field(
        description="null: about the fleet or an incident, which only kinds rule and incident are",
        examples=["8988280666000000001"],
    )
    label: str | None = Field(examples=["pump-001"])
    kind: str = Field(
        description="exhaustion: will run out soon; quota_80: that share of the quota is used; silent: not heard of for "
        "unusually long; rule: a rule of yours; incident: many SIMs, one cause",
        examples=["exhaustion"],
    )
    severity: str = Field(description="info, warning or critical", examples=["warning"])
    value: float | None = Field(
        description="What was measured: probability, share used, days silent, or the metric of the rule",
        examples=[0.62],
    )
    threshold: float | None = Field(description="What it was held against, same unit", examples=[0.5])
    message: str = Field(examples=["pump-001 runs out within 14 days with a probability of 62 %"])
    opened_as_of: date
    opened_at: datetime
    seen_as_of: date = Field(description="Last as-of day on which it held")
    closed_as_of: date | None = Field(description="null while open")
    closed_at: datetime | None = Field(description="null while open")
    model_name: str | None = Field(
        description="Model it rests on; null for a plain rule", examples=["usage-forecaster"]
    )
    model_version: int | None = Field(examples=[3])
    run_id: str | None = Field(examples=["4f1c2d"])
    state: AlertState = Field(description="open; acknowledged: somebody sees to it; snoozed; resolved: closed")
    rule_id: int | None = Field(description="Rule that opened it", examples=[3])
    rule: str | None = Field(description="Its name", examples=["heavy pumps"])
    incident_id: int | None = Field(description="Incident it is about")
    snoozed_until: datetime | None
    acted_by: str | None = Field(
        description="Who last acknowledged, snoozed, reopened or resolved it", examples=["API key ops by ann"]
    )
    acted_at: datetime | None
    note: str | None = Field(examples=["new firmware on Monday"])


class AlertPage(BaseModel):
    items: list[Alert]
    next: int | None = Field(description="Pass as `after` for the next page; null on the last", examples=[41])


class Action(BaseModel):
    """Something a person did about an alert."""

    model_config = ConfigDict(extra="forbid")

    note: str | None = Field(None, max_length=2000, pattern=r"^[^\x00]*$", examples=["new firmware on Monday"])
    by: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="Who does it, beside the API key's name",
        examples=["ann"],
    )


class Snooze(Action):
    until: datetime = Field(description="When it is open again; with a zone", examples=["2026-01-12T08:00:00Z"])


class AlertEvent(BaseModel):
    """Something that happened in the life of an alert, with the alert as it is."""

    id: int = Field(
        description="Rises with time: pass it as `after` or Last-Event-ID to go on from there", examples=[512]
    )
    event: Literal["opened", "severity", "acknowledged", "snoozed", "reopened", "resolved"] = Field(
        description="severity: it grew louder or quieter; reopened: by hand, or because its snooze is over"
    )
    at: datetime
    who: str | None = Field(description="null: the pipeline", examples=["API key ops by ann"])
    note: str | None
    alert_id: int = Field(examples=[41])
    state: AlertState = Field(description="After the event")
    severity: Severity = Field(description="After the event")
    value: float | None = Field(description="What was measured last by then")
    as_of: date = Field(description="Last as-of day on which the alert had held by then")
    iccid: str | None = Field(examples=["8988280666000000001"])
    label: str | None = Field(examples=["pump-001"])
    kind: str = Field(examples=["rule"])
    rule_id: int | None
    rule: str | None
    incident_id: int | None
    threshold: float | None
    message: str
    opened_at: datetime
    snoozed_until: datetime | None


class AlertHistory(BaseModel):
    items: list[AlertEvent] = Field(description="Oldest first")


class NewRule(BaseModel):
    """Alert when a metric crosses a threshold on some as-of days in a row, for each SIM in the scope."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$", examples=["heavy pumps"])
    metric: str = Field(max_length=100, description="One of those of docs/alerts.md", examples=["usage_day_mb"])
    operator: str = Field(max_length=2, description="> >= < or <=", examples=[">"])
    threshold: float = Field(allow_inf_nan=False, description="In the unit of the metric", examples=[100])
    for_days: int = Field(1, ge=1, le=90, description="As-of days in a row on which it must hold")
    scope: dict[str, Any] = Field(
        default_factory=dict,
        description='{} all SIMs; {"label_prefix": "pump-"}; {"iccids": ["8988280666000000001"]}',
        examples=[{"label_prefix": "pump-"}],
    )
    severity: Severity = "warning"


class RuleToAdd(NewRule):
    enabled: bool = Field(False, description="Switch it on at once")
    force: bool = Field(False, description="Also when it would page for more than a quarter of its SIMs at once")


class RuleToReplay(NewRule):
    name: str = Field("replay", min_length=1, max_length=100, pattern=r"^[^\x00]*$")
    days: int = Field(30, ge=1, le=90, description="Days of the past to try it on")


class StoredRule(NewRule):
    model_config = ConfigDict(extra="ignore")

    rule_id: int = Field(examples=[3])
    enabled: bool
    version: int = Field(description="Rises with every change", examples=[1])
    created_by: str
    created_at: datetime
    changed_at: datetime
    evaluated_as_of: date | None = Field(description="Last as-of day it was evaluated for")
    evaluated_at: datetime | None
    holding: int | None = Field(description="SIMs for which it held then")
    error: str | None = Field(description="Why the last evaluation came to nothing")
    open_alerts: int


class RuleList(BaseModel):
    items: list[StoredRule]


class Fired(BaseModel):
    day: date
    iccid: str | None
    label: str | None
    value: float


class Replayed(BaseModel):
    """What a rule would have done on past days."""

    sims: int = Field(description="SIMs in the scope; 1 for a metric of the fleet", examples=[120])
    days: int = Field(description="As-of days of those asked for on which the metric is known", examples=[30])
    fired: int = Field(description="Alerts it would have opened", examples=[14])
    most: int = Field(description="Most SIMs for which it held on one day", examples=[3])
    examples: list[Fired] = Field(description="The first of these alerts")


class AddedRule(BaseModel):
    rule_id: int = Field(examples=[3])
    replay: Replayed


class RuleSwitch(BaseModel):
    """Whether a rule is to be evaluated."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(examples=[True])
    force: bool = Field(
        False, description="Switch it on also when it would page for more than a quarter of its SIMs at once"
    )


class SwitchedRule(BaseModel):
    rule: StoredRule = Field(description="As it is now")
    closed_alerts: int = Field(description="Open alerts of it that switching it off closed", examples=[0])
    replay: Replayed | None = Field(description="What it would have done; null where it was switched off")


class Health(BaseModel):
    status: Literal["ok"]
    schema_version: int = Field(description="Newest database migration applied", examples=[7])


class FieldProblem(BaseModel):
    field: str = Field(examples=["limit"])
    message: str = Field(examples=["Input should be less than or equal to 1000"])


class Problem(BaseModel):
    """What went wrong and how to mend it (RFC 9457)."""

    type: Literal["about:blank"] = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no SIM with ICCID 8988280666000000009 in this organization."])
    errors: list[FieldProblem] = Field([], description="The parameters that are wrong")


class ExhaustionCursor(BaseModel):
    """The last exhaustion of a page; its as_of keeps a walk on one scoring while a newer one arrives."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    as_of: date
    p_14: Probability
    p50_date: date | None
    iccid: str = Field(pattern=r"^([0-9]{19})?$")

    def encode(self) -> str:
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> ExhaustionCursor:
        """Raises ValueError for a text that `encode` did not make."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return cls.model_validate_json(raw)
        except ValueError as error:
            raise ValueError("not a cursor of this list") from error
