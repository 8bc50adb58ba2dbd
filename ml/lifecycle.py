"""Where each SIM is in its life, and what moved it there: one state machine over the whole fleet.

The machine is `MACHINE`: states from the most to the least decisive. A SIM is in the first state whose guard holds, so
it is in exactly one; docs/lifecycle.md draws the same table. 1NCE itself knows Enabled and Disabled and an expiry date,
no more: "silent" and "deactivated" are inferred here, and their evidence says so. Nothing here reads a clock or loops
over SIMs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import polars as pl

from ml.history import BYTES_PER_MB, USAGE_SCHEMA
from ml.silence import SilenceRules, silence, silent_after

VERSION = "state machine 1"
UTC_TIME = pl.Datetime("us", "UTC")
Schema = Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """A state of the machine: when a SIM is in it, and which states may follow (itself does not count)."""

    name: str
    guard: str
    followed_by: tuple[str, ...]


OUT_OF_SERVICE = ("suspended", "expired", "deactivated")
_LISTED = ("issued", "activated", "active", "silent", *OUT_OF_SERVICE)
MACHINE = (
    State("ordered", "it is in an order for new SIMs and not in the SIM list yet", _LISTED),
    State("expired", "its expiry date has passed, or 1NCE refuses it as expired", _LISTED),
    State("deactivated", "it has been off for more days than `deactivated_days`: our inference", _LISTED),
    State("suspended", "it is off (Disabled, not in the SIM list or unknown to 1NCE), or its data is used up", _LISTED),
    State("issued", "it is in the SIM list, was never activated and never heard of", _LISTED[1:]),
    State("activated", "it is activated, and was never heard of", _LISTED[2:]),
    State("silent", "nothing was heard of it for far longer than its usual gap: our inference", _LISTED[2:]),
    State("active", "it was heard of within its usual gap, or its habits are not known yet", _LISTED[2:]),
)
STATES = tuple(state.name for state in MACHINE)
ALLOWED = pl.DataFrame(
    [(state.name, to) for state in MACHINE for to in state.followed_by if to != state.name],
    schema={"from_value": pl.String, "to_value": pl.String},
    orient="row",
)
# the usual order of a life, for steps of the same day
BEGINNING = ("ordered", "issued", "activated", "active", "suspended")
# who was in one of these has lived, even if its signs of life are no longer looked at
HEARD_OF = ("active", "silent")

SIM_SCHEMA = {
    "sim_key": pl.Int32,
    "order_number": pl.Int64,
    "ordered_on": pl.Date,
    "listed_on": pl.Date,
    "activated_on": pl.Date,
    "disabled_on": pl.Date,
    "unlisted_on": pl.Date,
    "quota_left": pl.Int64,
    "quota_total": pl.Int64,
    "exhausted_on": pl.Date,
    "expires_at": UTC_TIME,
    "last_word": pl.String,
    "last_word_on": pl.Date,
    "usage_known_to": pl.Date,
    "network_first_on": pl.Date,
    "network_last_on": pl.Date,
}
ACTIVITY_SCHEMA = {**USAGE_SCHEMA, "sms_mo": pl.Int64, "spread_from": pl.Date}
PREVIOUS_SCHEMA = {
    "sim_key": pl.Int32,
    "state": pl.String,
    "since": pl.Date,
    "cause": pl.String,
    "off_on": pl.Date,
    "resumed_on": pl.Date,
}
QUOTA_EVENT_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "quota": pl.String, "kind": pl.String, "evidence": pl.String}
STATE_SCHEMA = {**PREVIOUS_SCHEMA, "evidence": pl.String}
ENTRY_SCHEMA = {
    "sim_key": pl.Int32,
    "kind": pl.String,
    "occurred_on": pl.Date,
    "from_value": pl.String,
    "to_value": pl.String,
    "evidence": pl.String,
}
PATH_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "rank": pl.Int32, "state": pl.String, "evidence": pl.String}


@dataclass(frozen=True)
class LifecycleRules:
    """What the guards hold facts against.

    deactivated_days  a SIM that is off for more days than this is deactivated
    silence           when a SIM is silent: the same rules as the alert "silent"
    """

    deactivated_days: int = 30
    silence: SilenceRules = field(default_factory=SilenceRules)


@dataclass(frozen=True, eq=False)
class Lifecycle:
    """What an evaluation says.

    states   one row a SIM (STATE_SCHEMA), by SIM: its state, since which day, why, and the evidence as of this
             evaluation
    entries  the transitions that lead there from the previous states (ENTRY_SCHEMA, kind "state"), in their order
    refused  SIMs whose facts call for a transition that the table does not allow: they keep their state
    """

    states: pl.DataFrame
    entries: pl.DataFrame
    refused: int


@dataclass(frozen=True)
class _Cause:
    """One reason for a state: when it holds, from which day, and the sentence that says so."""

    state: str
    name: str | None
    guard: pl.Expr
    since: str | pl.Expr
    evidence: pl.Expr


def evaluate(
    sims: pl.DataFrame,
    activity: pl.DataFrame,
    quota_events: pl.DataFrame,
    previous: pl.DataFrame,
    *,
    as_of: date,
    now: datetime,
    rules: LifecycleRules | None = None,
) -> Lifecycle:
    """The state of every SIM of `sims` and the transitions from its previous one.

    sims          one row a SIM (SIM_SCHEMA), known up to `now`. disabled_on, unlisted_on, exhausted_on: since when it
                  is Disabled, gone from the SIM list, or its data quota used up; null when it is not. quota_left,
                  quota_total in bytes. last_word: "answered", "expired" or "unknown" (1NCE does not know it), the last
                  thing 1NCE said when asked for it. usage_known_to: the last day, at most `as_of`, whose usage has been
                  asked for in full; silence is counted up to it, so that a SIM nobody asked for does not fall silent.
                  network_first_on, network_last_on: first and last day it was seen on a network
    activity      usage days with bytes or sent SMS (ACTIVITY_SCHEMA), up to `as_of`; a SMS to the device is no sign of
                  life. spread_from as in `ml.spread`
    quota_events  its quota ("data" or "sms") was "exhausted" or had a "top_up" on a day (QUOTA_EVENT_SCHEMA); an SMS
                  quota decides nothing
    previous      its state of the last evaluation (PREVIOUS_SCHEMA); a SIM that is not in it gets the history that the
                  facts tell
    as_of         last complete usage day
    now           the moment the evaluation stands for; facts after it are not looked at
    Raises ValueError when a frame lacks a column, a SIM comes twice in `sims` or `previous`, or the activity is broken.
    """
    rules = rules or LifecycleRules()
    sims = _checked(sims, SIM_SCHEMA, "SIM facts", key=["sim_key"])
    activity = _checked(activity, ACTIVITY_SCHEMA, "activity")
    previous = _checked(previous, PREVIOUS_SCHEMA, "previous states", key=["sim_key"])
    on = now.date()
    quota_events = _checked(quota_events, QUOTA_EVENT_SCHEMA, "quota events")
    quota_events = quota_events.filter(pl.col("day") <= on, pl.col("quota") == "data")
    episodes = _episodes(quota_events)
    habits = silence(activity, as_of=as_of, rules=rules.silence).select("sim_key", "active_days", "usual_gap_days")
    before = previous.rename({name: f"prev_{name}" for name in PREVIOUS_SCHEMA if name != "sim_key"})
    facts = sims
    for frame in (_days_of_signs(activity), habits, _days_of_quota(quota_events, episodes), before):
        facts = facts.join(frame, on="sim_key", how="left")
    facts = _derived(facts, now=now, rules=rules)
    evaluated = _decided(facts, _causes(now, rules))
    transitions = evaluated.filter(pl.col("prev_state").is_not_null(), pl.col("state") != pl.col("prev_state"))
    transitions = transitions.join(
        ALLOWED, left_on=["prev_state", "state"], right_on=["from_value", "to_value"], how="semi"
    )
    stays = pl.col("prev_state").is_not_null() & ~pl.col("sim_key").is_in(transitions["sim_key"].implode())
    refused = stays & (pl.col("state") != pl.col("prev_state"))
    evaluated = evaluated.with_columns(
        state=pl.when(stays).then("prev_state").otherwise("state"),
        since=pl.when(stays).then("prev_since").otherwise("since"),
        cause=pl.when(refused).then("prev_cause").otherwise("cause"),
        evidence=pl.when(refused)
        .then(pl.format("It stays {}: the facts call for {}, which cannot follow it.", "prev_state", "state"))
        .otherwise("evidence"),
        refused=refused,
    )
    begun = _begin(evaluated.filter(pl.col("prev_state").is_null()), episodes, on)
    first = begun.group_by("sim_key").agg(begun=pl.col("occurred_on").last())
    evaluated = evaluated.join(first, on="sim_key", how="left").with_columns(since=pl.coalesce("begun", "since"))
    steps = transitions.with_columns(
        kind=pl.lit("state"), occurred_on="since", from_value="prev_state", to_value="state"
    )
    entries = pl.concat([begun, _as(steps, ENTRY_SCHEMA)])
    return Lifecycle(_as(evaluated.sort("sim_key"), STATE_SCHEMA), entries, int(evaluated["refused"].sum()))


def _days_of_signs(activity: pl.DataFrame) -> pl.DataFrame:
    signs = activity.filter((pl.col("bytes") > 0) | (pl.col("sms_mo") > 0)).group_by("sim_key")
    return signs.agg(used_first_on=pl.col("day").min(), used_last_on=pl.col("day").max())


def _days_of_quota(quota_events: pl.DataFrame, episodes: pl.DataFrame) -> pl.DataFrame:
    """exhausted_first_on, exhausted_last_on: exhausted at all; refilled_on: a top-up that ended an exhaustion;
    ran_out_on: an exhaustion none has ended yet."""
    exhausted, topped = (pl.col("day").filter(pl.col("kind") == kind) for kind in ("exhausted", "top_up"))
    days = quota_events.group_by("sim_key").agg(
        exhausted_first_on=exhausted.min(), exhausted_last_on=exhausted.max(), topped_up_on=topped.max()
    )
    turns = episodes.group_by("sim_key", maintain_order=True).agg(
        refilled_on=topped.max(), ran_out_on=pl.when(pl.col("kind").last() == "exhausted").then(pl.col("day").last())
    )
    return days.join(turns, on="sim_key", how="left")


def _derived(facts: pl.DataFrame, *, now: datetime, rules: LifecycleRules) -> pl.DataFrame:
    """The facts with what the guards look at besides."""
    on = now.date()
    unknown_on = pl.when(pl.col("last_word") == "unknown").then("last_word_on")
    is_off = pl.coalesce("disabled_on", pl.min_horizontal("unlisted_on", unknown_on))
    facts = facts.with_columns(
        # a quota is used up by somebody who uses it
        first_sign_on=pl.min_horizontal("used_first_on", "network_first_on", "exhausted_first_on"),
        last_sign_on=pl.max_horizontal("used_last_on", "network_last_on", "exhausted_last_on"),
        off_on=pl.when(is_off.is_not_null()).then(pl.min_horizontal("prev_off_on", is_off)),
        # its event dates an exhaustion better than the first look that found it
        exhausted_on=pl.when(pl.col("exhausted_on") <= on).then(pl.min_horizontal("exhausted_on", "ran_out_on")),
        expired_on=pl.when(pl.col("expires_at") <= now).then(pl.col("expires_at").dt.date()),
        refused=(pl.col("last_word") == "expired")
        | (pl.col("last_word").is_null() & (pl.col("prev_state") == "expired").fill_null(value=False)),
        active_days=pl.col("active_days").fill_null(0),
    ).with_columns(pl.col("refused").fill_null(value=False))
    is_out = (
        (pl.col("off_on") <= on).fill_null(value=False)
        | pl.col("exhausted_on").is_not_null()
        | pl.col("expired_on").is_not_null()
        | pl.col("refused")
    )
    back = ~is_out & pl.col("prev_state").is_in(OUT_OF_SERVICE).fill_null(value=False)
    topped_up = pl.when(pl.col("topped_up_on") >= pl.col("prev_since")).then("topped_up_on")
    facts = facts.with_columns(
        resumed_on=pl.when(back)
        .then(pl.coalesce(topped_up, pl.lit(on)))
        .otherwise(pl.coalesce("prev_resumed_on", pl.when(pl.col("prev_state").is_null()).then("refilled_on")))
    ).with_columns(
        # who comes back is given its usual gap from then on
        heard_on=pl.max_horizontal("last_sign_on", "resumed_on"),
        lived=pl.col("last_sign_on").is_not_null() | pl.col("prev_state").is_in(HEARD_OF).fill_null(value=False),
        silent_after=silent_after(rules.silence, "usual_gap_days"),
    )
    return facts.with_columns(quiet_days=(pl.col("usage_known_to") - pl.col("heard_on")).dt.total_days())


def _causes(now: datetime, rules: LifecycleRules) -> tuple[_Cause, ...]:
    """The guards, from the most to the least decisive, in the order of MACHINE."""
    on, day = pl.lit(now.date()), pl.duration(days=1)
    off_days, is_off = (on - pl.col("off_on")).dt.total_days(), pl.col("off_on") <= on
    disabled, unlisted = pl.col("disabled_on").is_not_null(), pl.col("unlisted_on").is_not_null()
    off_by = (
        pl.when(disabled).then(pl.lit("Disabled in the SIM list"))
        .when(unlisted).then(pl.lit("Not in the SIM list"))
        .otherwise(pl.lit("Unknown to 1NCE"))
    )  # fmt: skip
    inferred = _say(
        "{} for {} days, since {}: more than {}. 1NCE has no state 'deactivated', this is inferred.",
        *(off_by, off_days, "off_on", pl.lit(rules.deactivated_days)),
    )
    answered = pl.coalesce(
        _say("1NCE answers that it is expired, asked on {}.", "last_word_on"),
        pl.lit("1NCE has answered that it is expired, and nothing else since."),
    )
    left = pl.coalesce(
        _say("{} MB of {} MB are left", _megabytes("quota_left"), _megabytes("quota_total")),
        pl.lit("nothing is left by the SIM list"),
    )
    gap = pl.coalesce(
        _say("its longest usual gap is {} d", pl.col("usual_gap_days").ceil().cast(pl.Int64)),
        _say("too few active days ({}) to know its usual gap", pl.col("active_days")),
    )
    heard = pl.coalesce(
        pl.when(pl.col("resumed_on") > pl.col("last_sign_on")).then(
            _say("Back in service since {}; last sign of life on {}", "resumed_on", "last_sign_on")
        ),
        _say("Last sign of life on {}", "last_sign_on"),
        _say("Back in service since {}", "resumed_on"),
        pl.lit("No sign of life on the days that are stored"),
    )
    newer_sign = (pl.col("last_sign_on") > pl.col("prev_since")).fill_null(value=False)
    stays_silent = (pl.col("prev_state") == "silent").fill_null(value=False) & ~newer_sign
    after = pl.col("silent_after").floor().cast(pl.Int64)
    quiet = pl.coalesce(
        _say(
            "{}, {} days up to {}; {}: silent after {} days.",
            *(heard, pl.col("quiet_days"), "usage_known_to", gap, after),
        ),
        _say("{}: it was silent, and nothing was heard of it since.", heard),
    )
    active_since = pl.coalesce(
        pl.when(pl.col("prev_state").is_in(OUT_OF_SERVICE)).then("resumed_on"),
        pl.when(pl.col("prev_state") == "silent").then("last_sign_on"),
        pl.max_horizontal("first_sign_on", "resumed_on"),
        "prev_since",
        on,
    )
    deactivated = off_days > rules.deactivated_days
    passed, exhausted = pl.col("expired_on").is_not_null(), pl.col("exhausted_on").is_not_null()
    used_up = _say("Its data quota is used up since {}: {}.", "exhausted_on", left)
    stranger = _say("1NCE does not know it or says it belongs to another account, since {}.", "off_on")
    issued = (pl.col("activated_on").is_null() | (pl.col("activated_on") > on)) & ~pl.col("lived")
    unheard = _say("Activated on {}; no data, sent SMS or network event since.", "activated_on")
    silent = pl.coalesce(pl.col("quiet_days") > pl.col("silent_after"), stays_silent)
    silent_since = pl.coalesce(pl.col("heard_on") + (after + 1) * day, "prev_since")
    return (
        _Cause("expired", "expiry_date", passed, "expired_on", _say("Its expiry date, {}, has passed.", "expired_on")),
        _Cause("expired", "refused", pl.col("refused"), "last_word_on", answered),
        _Cause("deactivated", "off", deactivated, pl.col("off_on") + (rules.deactivated_days + 1) * day, inferred),
        _Cause(
            "suspended", "disabled", is_off & disabled, "off_on", _say("Disabled in the SIM list, since {}.", "off_on")
        ),
        _Cause("suspended", "unlisted", is_off & unlisted, "off_on", _say("Not in the SIM list since {}.", "off_on")),
        _Cause("suspended", "unknown", is_off, "off_on", stranger),
        _Cause("suspended", "exhausted", exhausted, "exhausted_on", used_up),
        _Cause("issued", None, issued, "listed_on", _say("In the SIM list since {}, never activated.", "listed_on")),
        _Cause("activated", None, ~pl.col("lived"), "activated_on", unheard),
        _Cause("silent", None, silent, silent_since, quiet),
        _Cause("active", None, pl.lit(value=True), active_since, _say("{}; {}.", heard, gap)),
    )


def _decided(facts: pl.DataFrame, causes: tuple[_Cause, ...]) -> pl.DataFrame:
    """The facts with the first cause that holds: state, cause, since (neither before the previous state nor ahead),
    evidence."""
    no_text, no_day = pl.lit(None, dtype=pl.String), pl.lit(None, dtype=pl.Date)
    state, cause, since, evidence = no_text, no_text, no_day, no_text
    for one in reversed(causes):
        holds = one.guard.fill_null(value=False)
        state = pl.when(holds).then(pl.lit(one.state)).otherwise(state)
        cause = pl.when(holds).then(pl.lit(one.name, dtype=pl.String)).otherwise(cause)
        since = pl.when(holds).then(one.since).otherwise(since)
        evidence = pl.when(holds).then(one.evidence).otherwise(evidence)
    evaluated = facts.with_columns(state=state, cause=cause, since=since, evidence=evidence)
    return evaluated.with_columns(since=pl.max_horizontal("since", "prev_since"))


def _episodes(quota_events: pl.DataFrame) -> pl.DataFrame:
    """Exhausted, topped up, exhausted ...: in turns, from the first exhaustion on. A top-up in good time ends
    nothing."""
    rank = pl.col("kind").replace_strict({"exhausted": 0, "top_up": 1}, return_dtype=pl.Int8)
    ordered = quota_events.sort("sim_key", "day", rank)
    before = pl.col("kind").shift(1).over("sim_key").fill_null("top_up")
    return ordered.filter(pl.col("kind") != before)


def _begin(evaluated: pl.DataFrame, episodes: pl.DataFrame, on: date) -> pl.DataFrame:
    """The history of SIMs that had none (ENTRY_SCHEMA): what the dates of the facts tell, and the state they are in
    now."""
    evaluated = evaluated.with_columns(
        activated_on=pl.when(pl.col("activated_on") <= on).then("activated_on"),
        off_on=pl.when(pl.col("off_on") <= on).then("off_on"),
    ).with_columns(
        first_sign_on=pl.when(pl.col("first_sign_on").is_not_null()).then(
            pl.max_horizontal("first_sign_on", "activated_on")
        )
    )
    began = pl.min_horizontal("listed_on", "activated_on", "first_sign_on", "off_on")
    waited = pl.col("listed_on") < pl.min_horizontal(pl.lit(on), "activated_on", "first_sign_on")
    in_service = pl.col("day").is_between(
        pl.col("activated_on").fill_null(date.min), pl.col("off_on").fill_null(date.max)
    )
    order = _say("In order {} of {}.", pl.col("order_number"), "ordered_on")
    first_sign = _say("First sign of life on the days that are stored: {}.", "first_sign_on")
    off = _say("Disabled, not in the SIM list or unknown to 1NCE since {}.", "off_on")
    parts = [
        _step(evaluated.filter(pl.col("ordered_on") <= began), "ordered_on", "ordered", order),
        _step(evaluated.filter(waited), "listed_on", "issued", _say("In the SIM list since {}.", "listed_on")),
        _step(evaluated, "activated_on", "activated", _say("Activated on {}.", "activated_on")),
        _step(evaluated, "first_sign_on", "active", first_sign),
        _step(evaluated, "off_on", "suspended", off),
        episodes.join(evaluated.select("sim_key", "activated_on", "off_on"), on="sim_key")
        .filter(in_service)
        .with_columns(
            rank=pl.lit(len(BEGINNING), pl.Int32),
            state=pl.col("kind").replace_strict({"exhausted": "suspended", "top_up": "active"}),
        ),
    ]
    path = pl.concat([_as(part, PATH_SCHEMA) for part in parts])
    latest = path.group_by("sim_key").agg(latest=pl.col("day").max())
    last = evaluated.join(latest, on="sim_key", how="left").with_columns(
        day=pl.max_horizontal("since", "latest"), rank=pl.lit(len(BEGINNING) + 1, pl.Int32)
    )
    path = pl.concat([path, _as(last, PATH_SCHEMA)]).sort("sim_key", "day", "rank", maintain_order=True)
    before = pl.col("state").shift(1).over("sim_key")
    steps = path.with_columns(from_value=before).filter((pl.col("state") != before).fill_null(value=True))
    return _as(steps.with_columns(kind=pl.lit("state"), occurred_on="day", to_value="state"), ENTRY_SCHEMA)


def _step(sims: pl.DataFrame, day: str, state: str, evidence: pl.Expr) -> pl.DataFrame:
    rank = BEGINNING.index(state)
    return sims.filter(pl.col(day).is_not_null()).select(
        "sim_key", day=day, rank=pl.lit(rank, pl.Int32), state=pl.lit(state), evidence=evidence
    )


def _checked(frame: pl.DataFrame, schema: Schema, what: str, key: list[str] | None = None) -> pl.DataFrame:
    missing = [name for name in schema if name not in frame.columns]
    if missing:
        raise ValueError(f"{what} lack the column(s) {', '.join(missing)}; they need {', '.join(schema)}")
    if key:
        twice = frame.filter(pl.struct(key).is_duplicated())
        if twice.height:
            raise ValueError(f"{what} hold SIM {twice['sim_key'][0]} twice; give one row a SIM")
    return _as(frame, schema)


def _as(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(kind) for name, kind in schema.items())


def _say(text: str, *values: str | pl.Expr) -> pl.Expr:
    """The text with values in the place of {}; a name is a column of days. Null when one of them is."""
    days = (pl.col(value).dt.to_string("%Y-%m-%d") if isinstance(value, str) else value for value in values)
    return pl.format(text, *days).str.replace_all(r"\b1 days\b", "1 day")


def _megabytes(column: str) -> pl.Expr:
    return (pl.col(column) / BYTES_PER_MB).round(1)
