"""What is known of the SIM that a ticket names, as evidence for a category: log-odds and a sentence.

SIM facts: one row a SIM, as of the tickets' time. `iccid` (text) is needed; each of these may be missing or null,
others are ignored:
    msisdn, imsi, imei, ip_address, label   text, by which a ticket may name the SIM
    state                 a word of ml.enums.SimState
    data_left_bytes       Int64, accounting bytes left;  data_total_bytes  of how many
    sms_left              Int64, messages left
    quota_exhausted_at    Datetime (UTC), when the data quota last ran out, null where it has been refilled since
    never_attached        Boolean, no session or usage yet
    silent                Boolean, quieter than is usual for it
    blocked               Boolean, disabled at 1NCE; null where that is not known
    last_activity_at      Datetime (UTC), latest session or usage
    expires_at            Datetime or Date (UTC), end of the quota's or the SIM's life
A column of another type counts as missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from ml.history import FloatArray

FACTS_SCHEMA: dict[str, type[pl.DataType]] = {
    "state": pl.String,
    "data_left_bytes": pl.Int64,
    "data_total_bytes": pl.Int64,
    "sms_left": pl.Int64,
    "quota_exhausted_at": pl.Datetime,
    "never_attached": pl.Boolean,
    "silent": pl.Boolean,
    "blocked": pl.Boolean,
    "last_activity_at": pl.Datetime,
    "expires_at": pl.Datetime,
}
# log-odds by which a fact moves a category; the others stay. Judged, not fitted: no labelled tickets with facts exist
SHIFTS: dict[str, dict[str, float]] = {
    "exhausted": {"quota_exhausted": 3.0, "connectivity_issue": -2.0},
    "sms_exhausted": {"quota_exhausted": 0.8},
    "nearly_exhausted": {"quota_exhausted": 1.0},
    "plenty_left": {"quota_exhausted": -1.2},
    "never_attached": {"activation_problem": 3.0, "quota_exhausted": -1.0, "connectivity_issue": -2.0},
    "silent": {"connectivity_issue": 1.2},
    "blocked": {"activation_problem": 0.5, "account_management": 0.4},
    "expired": {"quota_exhausted": 0.8, "account_management": 0.4},
    "active": {"activation_problem": -1.0},
}
_NOT_STARTED = ("ordered", "issued")
NEARLY, PLENTY = 0.05, 0.2  # shares of the quota


@dataclass(frozen=True)
class Evidence:
    """shifts (tickets, categories) in log-odds; sentences: one a ticket, "" where nothing is known."""

    shifts: FloatArray
    sentences: list[str]


def sim_evidence(
    named: pl.DataFrame, sim_facts: pl.DataFrame | None, asked_at: Sequence[datetime | None], categories: Sequence[str]
) -> Evidence:
    """What the first SIM of each ticket says.

    named      ticket, iccid: at most one row a ticket
    asked_at   when each ticket was written (UTC), or None: then times are named as they are
    """
    shifts, sentences = np.zeros((len(asked_at), len(categories))), [""] * len(asked_at)
    if sim_facts is None or "iccid" not in sim_facts.columns or named.is_empty():
        return Evidence(shifts, sentences)
    column = {name: k for k, name in enumerate(categories)}
    facts = known_facts(sim_facts.filter(pl.col("iccid").is_in(named["iccid"].unique().implode())))
    for row in named.join(facts, on="iccid").to_dicts():
        ticket = row["ticket"]
        found = _holding(row, _naive(asked_at[ticket]))
        for fact in found:
            for category, shift in SHIFTS[fact].items():
                if category in column:
                    shifts[ticket, column[category]] += shift
        sentences[ticket] = "; ".join(sentence for sentence in found.values() if sentence)
    return Evidence(shifts, sentences)


def known_facts(sim_facts: pl.DataFrame) -> pl.DataFrame:
    """iccid and FACTS_SCHEMA with null for what is missing or of another type; times in UTC without a zone."""
    columns: list[pl.Expr] = []
    for name, kind in FACTS_SCHEMA.items():
        given = sim_facts.schema.get(name)
        cell = pl.lit(None)
        if isinstance(given, pl.Datetime):
            cell = (
                pl.col(name).dt.convert_time_zone("UTC").dt.replace_time_zone(None) if given.time_zone else pl.col(name)
            )
        elif given is not None and ((kind == pl.Int64 and given.is_numeric()) or given in (kind, pl.Date)):
            cell = pl.col(name)
        columns.append(cell.cast(kind, strict=False).alias(name))
    return sim_facts.select(pl.col("iccid").cast(pl.String), *columns).unique(
        "iccid", keep="first", maintain_order=True
    )


def _naive(time: datetime | None) -> datetime | None:
    offset = time.utcoffset() if time is not None else None
    return time if time is None or offset is None else (time - offset).replace(tzinfo=None)


def _holding(row: dict[str, object], asked: datetime | None) -> dict[str, str]:
    """The facts that hold of a SIM when a ticket was written, each with its sentence ("" where it needs none)."""
    found = _quota(row, asked)
    expires, state = row["expires_at"], row["state"]
    if isinstance(expires, datetime) and (state == "expired" if asked is None else expires <= asked):
        found["expired"] = "expired " + _when(expires, asked)
    elif state == "expired":
        found["expired"] = "expired"
    last = row["last_activity_at"]
    if row["never_attached"] or state in _NOT_STARTED:
        found["never_attached"] = "never attached to a network"
    elif row["silent"] or state == "silent":
        known = isinstance(last, datetime) and (asked is None or last <= asked)
        if "exhausted" not in found:  # else the quota explains the silence
            found["silent"] = f"silent, last activity {_when(last, asked)}" if known else "silent"  # type: ignore[arg-type]
    elif state == "active" or last is not None:
        found["active"] = ""
    if row["blocked"] or state == "deactivated" or (state == "suspended" and _off(row, found)):
        found["blocked"] = "switched off at 1NCE"
    return found


def _off(row: dict[str, object], found: dict[str, str]) -> bool:
    """Whether a suspended SIM is switched off: its state says the same of one whose data is used up."""
    return row["blocked"] is None and not found.keys() & {"exhausted", "expired"}


def _quota(row: dict[str, object], asked: datetime | None) -> dict[str, str]:
    found: dict[str, str] = {}
    left, total, emptied = row["data_left_bytes"], row["data_total_bytes"], row["quota_exhausted_at"]
    if isinstance(emptied, datetime) and (asked is None or emptied <= asked):
        found["exhausted"] = "quota exhausted " + _when(emptied, asked)
    elif isinstance(left, int) and left <= 0:
        found["exhausted"] = "no data quota left"
    elif isinstance(left, int) and isinstance(total, int) and total > 0:
        share = left / total
        name = "nearly_exhausted" if share < NEARLY else "plenty_left" if share > PLENTY else ""
        found |= {name: f"{100 * share:.0f} % of the data quota left"} if name else {}
    if isinstance(row["sms_left"], int) and row["sms_left"] <= 0:
        found["sms_exhausted"] = "no SMS left"
    return found


def _when(time: datetime, asked: datetime | None) -> str:
    if asked is None:
        return f"on {time:%Y-%m-%d %H:%M} UTC"
    hours = (asked - time).total_seconds() / 3600
    return f"{hours:.0f} h before the ticket" if hours < 72 else f"{hours / 24:.0f} days before the ticket"
