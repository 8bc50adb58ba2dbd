"""One cause, one incident: anomalies that share what their SIMs have in common are put together and named by it.

The description of an incident is the smallest that covers it: one attribute and its value, two, or the whole fleet.
Descriptions are compared by how much better they tell anomalous SIMs from the others than the fleet's own rate does (a
likelihood ratio), and taken one after the other, each with the anomalies that it covers, until none is left that is
worth it.
Source: after Wu et al. and Lin et al., "root cause localization" by set cover over attribute combinations; scored by
binomial likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

ATTRIBUTES = ("device_type", "label_prefix", "country", "operator", "batch")
WORDS = {
    "device_type": "device type {}",
    "label_prefix": "labels {}...",
    "country": "{}",
    "operator": "operator {}",
    "batch": "batch {}",
}
INCIDENT_SCHEMA: dict[str, Any] = {
    "number": pl.Int32,
    "kind": pl.String,
    "title": pl.String,
    "scope": pl.Struct(dict.fromkeys(ATTRIBUTES, pl.String)),
    "first_day": pl.Date,
    "last_day": pl.Date,
    "severity": pl.String,
    "sims": pl.Int32,
}
MEMBER_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "kind": pl.String, "number": pl.Int32}
# kinds that one cause brings about
FAMILIES = {
    "more": ("spike", "runaway", "drift", "flapping", "sms_flood", "new_pattern", "unusual_hours"),
    "less": ("silence", "dead"),
    "device": ("imei_change",),
    "place": ("unexpected_country", "unexpected_operator"),
}
MIN_INCIDENT_SIMS = 5  # SIMs of an incident
MIN_ANOMALOUS_SHARE = 0.1  # of the SIMs that a description names must be anomalous
MIN_LIFT = 5.0  # times the share among the others
MIN_EVIDENCE = 12.0  # least logarithm of the likelihood ratio, for each attribute in the description
MIN_FLEET_SHARE = 0.05
MAX_DAYS_APART = 14  # days that an incident's SIMs may begin from its usual beginning


@dataclass(frozen=True, eq=False)
class Grouped:
    """Incidents (INCIDENT_SCHEMA, numbered from 0) and which anomalies belong to which (MEMBER_SCHEMA)."""

    incidents: pl.DataFrame
    members: pl.DataFrame


def group(anomalies: pl.DataFrame, attributes: pl.DataFrame) -> Grouped:
    """Put anomalies with a common cause together.

    anomalies   one row a SIM and day: sim_key, day, kind, severity, first_day; only anomalies
    attributes  one row a SIM of the whole fleet: sim_key and ATTRIBUTES, null or "" where not known. With a column
                `sims` a row stands for so many SIMs that are alike; those of the anomalies need rows of their own
    An anomaly belongs to at most one incident; those that belong to none stand alone.
    """
    alike = pl.col("sims").cast(pl.Int64) if "sims" in attributes.columns else pl.lit(1, pl.Int64).alias("sims")
    known = attributes.select("sim_key", *(pl.col(name).fill_null("") for name in ATTRIBUTES), alike)
    if "sims" not in attributes.columns:
        known = known.unique("sim_key")
    incidents: list[tuple[object, ...]] = []
    members: list[pl.DataFrame] = []
    for kinds in FAMILIES.values():
        left = anomalies.filter(pl.col("kind").is_in(kinds))
        while left["sim_key"].n_unique() >= MIN_INCIDENT_SIMS:
            scope = _best(left, known)
            if scope is None:
                break
            described = left.join(_named(known, scope).select("sim_key"), on="sim_key", how="semi")
            covered = _alike(described)
            if covered["sim_key"].n_unique() < MIN_INCIDENT_SIMS:  # the same place at different times: no common cause
                left = left.join(described.select("sim_key"), on="sim_key", how="anti")
                continue
            left = left.join(covered.select("sim_key"), on="sim_key", how="anti")
            number = len(incidents)
            incidents.append(_incident(number, covered, scope, int(_named(known, scope)["sims"].sum())))
            members.append(covered.select("sim_key", "day", "kind", number=pl.lit(number)))
    shaped = pl.DataFrame(incidents, schema=INCIDENT_SCHEMA, orient="row")
    joined = pl.concat(members) if members else pl.DataFrame(schema=MEMBER_SCHEMA)
    return Grouped(shaped, joined.select(pl.col(name).cast(kind) for name, kind in MEMBER_SCHEMA.items()))


def _named(known: pl.DataFrame, scope: dict[str, str]) -> pl.DataFrame:
    return known.filter([pl.col(name) == value for name, value in scope.items()]) if scope else known


def _best(left: pl.DataFrame, known: pl.DataFrame) -> dict[str, str] | None:
    """The description that tells anomalous SIMs best from the others; None where none is worth it."""
    marked = known.with_columns(anomalous=pl.col("sim_key").is_in(left["sim_key"].unique().implode()))
    sims, anomalous = int(marked["sims"].sum()), int(marked["anomalous"].sum())
    best, gain = None, 0.0
    for size in (1, 2):
        for names in combinations(ATTRIBUTES, size):
            counted = marked.filter([pl.col(name) != "" for name in names]).group_by(names).agg(
                n=pl.col("sims").sum(), k=pl.col("anomalous").sum().cast(pl.Int64)
            )  # fmt: skip
            counted = counted.filter(pl.col("k") >= MIN_INCIDENT_SIMS)
            if counted.is_empty():
                continue
            n, k = counted["n"].to_numpy().astype(float), counted["k"].to_numpy().astype(float)
            other_share = (anomalous - k + 0.5) / np.maximum(sims - n + 1, 1)
            value = _ratio(k, n, sims, anomalous) - MIN_EVIDENCE * size
            value[(k / n < MIN_ANOMALOUS_SHARE) | (k / n < MIN_LIFT * other_share)] = -np.inf
            at = int(np.argmax(value))
            if value[at] > gain + (MIN_EVIDENCE if best is not None and size > len(best) else 0):
                best, gain = dict(zip(names, counted.select(names).row(at), strict=True)), float(value[at])
    if best is None and anomalous >= max(20, MIN_FLEET_SHARE * sims):
        return {}
    return best


def _ratio(k: np.ndarray, n: np.ndarray, sims: int, anomalous: int) -> np.ndarray:
    """Logarithm of how much likelier the anomalies are with a rate of their own inside a description than with one for
    all."""

    def of(hits: np.ndarray | float, tries: np.ndarray | float) -> np.ndarray:
        share = np.clip(hits / np.maximum(tries, 1), 1e-12, 1 - 1e-12)
        return np.asarray(hits * np.log(share) + (tries - hits) * np.log1p(-share))

    return np.asarray(of(k, n) + of(anomalous - k, sims - n) - of(float(anomalous), float(sims)))


def _alike(covered: pl.DataFrame) -> pl.DataFrame:
    """The anomalies of SIMs that began about when the others did: what else happens in the same place is another
    matter."""
    begun = covered.group_by("sim_key").agg(pl.col("first_day").min())
    middle = begun["first_day"].cast(pl.Int32).median()
    near = begun.filter((pl.col("first_day").cast(pl.Int32) - middle).abs() <= MAX_DAYS_APART)
    return covered.join(near.select("sim_key"), on="sim_key", how="semi")


def _incident(number: int, covered: pl.DataFrame, scope: dict[str, str], sims: int) -> tuple[object, ...]:
    counts = (
        covered.group_by("kind").agg(pl.col("sim_key").n_unique()).sort(["sim_key", "kind"], descending=[True, False])
    )
    affected = covered["sim_key"].n_unique()
    kind = counts["kind"][0] if scope else "fleet_event"
    first, last = covered["first_day"].min(), covered["day"].max()
    assert isinstance(first, date)
    worst = next(level for level in ("critical", "warning", "info") if (covered["severity"] == level).any())
    mostly = (covered.group_by("severity").len().sort("len", descending=True))["severity"][0]
    severity = "critical" if worst == "critical" and affected >= 20 else mostly if affected < 20 else "warning"
    where = " and ".join(WORDS[name].format(value) for name, value in scope.items()) or "the whole fleet"
    word = counts["kind"][0].replace("_", " ")
    title = f"{word[0].upper()}{word[1:]} in {affected:,} of {sims:,} SIMs of {where}, since {first:%-d %B}"
    return number, kind, title, {name: scope.get(name) for name in ATTRIBUTES}, first, last, severity, affected
