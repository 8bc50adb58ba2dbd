"""Recommendations for every SIM's quota as of a day, within the fleet's budget and each SIM's limit of risk."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from ml.exhaustion.extrapolation import TRAINING_SIMS as EXTRAPOLATED_SIMS
from ml.exhaustion.extrapolation import fit_extrapolation
from ml.plots.quota import plot_cost_outage, plot_savings
from ml.quota.actions import MONTHS, BoolArray, Evaluation, Sims, evaluate
from ml.quota.optimiser import FleetChoice, optimise
from ml.quota.prices import PriceList
from ml.quota.recommendations import recommendations
from ml.quota.rules import plain_rules
from resources.database.session import Merged
from resources.runtime import Runtime
from services.forecasting import load_model
from services.inputs import HORIZON, LAST_KEY, NoUsageError, load_history
from services.model_specs import FORECASTER
from services.models import champion_of
from services.quota.fleet import FleetView
from services.quota.futures import Futures, futures, load_known
from services.quota.prices import KnownPrices, load_prices

# what was dismissed is not recommended again for so long, unless its saving doubles; what was accepted not until it
# can be seen
DISMISSED_DAYS, ACCEPTED_DAYS = 30, 7
DOUBLED = 2
# how long undecided recommendations are kept: "nothing" a week, others until their savings are looked at
IDLE_DAYS, KEPT_DAYS = 7, 100
SETTLED_SCHEMA = {"sim_key": pl.Int32, "action": pl.String, "is_dismissed": pl.Boolean, "saving_minor": pl.Int64}


def recommend(runtime: Runtime, as_of: date, *, run_id: str) -> dict[str, Any]:
    """Recommend an action for every SIM as of a day and write all of them at once; returns metadata.

    A price list with holes is a state and no error: nothing is recommended, and the metadata say what is missing.
    Raises NoChampionError without a forecaster and NoUsageError without usage.
    """
    known = load_prices(runtime.database, runtime.settings)
    if known.prices is None:
        _save_fleet(runtime, as_of, "no_prices", known.problem, run_id, {"notes": list(known.notes)})
        return {"state": "no_prices", "missing": known.problem}
    evaluation, sims, rules, view = _evaluated(runtime, as_of, known.prices)
    evaluation = _without_settled(runtime, as_of, evaluation, sims)
    limit = runtime.settings.month_budget
    budget = None if limit is None else [100 * limit] * MONTHS
    chosen = optimise(evaluation, budget=budget, outage_limit=runtime.settings.outage_limit)
    frame = recommendations(evaluation, sims, chosen.choice, as_of=as_of, currency=known.prices.currency)
    content = _content(evaluation, chosen, frame, known, limit) | view.content()
    merged = _write(runtime, as_of, run_id, _rows(frame, rules, known.prices), chosen, content)
    note, currency = runtime.data_note, known.prices.currency
    acted = frame.filter(pl.col("action") != "nothing")
    return {
        "dagster/row_count": merged.rows,
        "rows new": merged.new,
        "rows changed": merged.changed,
        "state": chosen.status,
        "budget": chosen.note,
        **({"assumed": " ".join(known.notes)} if known.notes else {}),
        "SIMs with an action": acted.height,
        f"expected saving, {currency}": round(float(frame["saving"].sum()) / 100, 2),
        f"at stake if nothing is done, {currency}": round(content["at_stake_minor"] / 100, 2),
        "zombie SIMs": content["zombies"]["sims"],
        "savings by action": plot_savings(frame, currency=currency, note=note),
        "cost against outage": plot_cost_outage(acted.head(2000), currency=currency, note=note),
    }


def _evaluated(runtime: Runtime, as_of: date, prices: PriceList) -> tuple[Evaluation, Sims, pl.DataFrame, FleetView]:
    """What each action comes to for every SIM, what the plain rules say of it, and the fleet as a whole."""
    database, seed = runtime.database, runtime.settings.seed
    model = load_model(runtime, champion_of(runtime, FORECASTER))
    with database.transaction() as transaction:
        keys = transaction.frame("block_keys", {"sim_key": pl.Int32}, {"first_key": 0, "last_key": LAST_KEY})["sim_key"]
    # no more SIMs are looked at
    some = keys.gather_every(-(-len(keys) // EXTRAPOLATED_SIMS)).to_list() if len(keys) else []
    extrapolation = fit_extrapolation(load_history(database, as_of, some), as_of=as_of, horizon=HORIZON, seed=seed)
    view = FleetView(prices, as_of)
    parts: list[tuple[Evaluation, Sims]] = []
    rules: list[pl.DataFrame] = []
    with database.transaction() as transaction:
        blocks = transaction.rows("sim_blocks", {"as_of": as_of, "size": runtime.settings.block_sims})
    for block in blocks:
        known = load_known(database, as_of, block["first_key"], block["last_key"])
        if known is None:
            continue
        for part in futures(known, model, extrapolation):
            parts.append((evaluate(part.use, part.sims, prices), part.sims))
            view.add(part, _named(part, known.names))
        quotas = known.quotas.select("sim_key", quota=pl.col("quota_left").clip(0))
        rules.append(plain_rules(known.history, quotas, as_of=as_of, price_per_mb=prices.per_mb))
    if not parts:
        raise NoUsageError(
            f"no usage is stored up to {as_of}: run `simsight ingest` first, or choose a later as-of day"
        )
    evaluation = Evaluation.stacked([part for part, _ in parts])
    columns = {
        field.name: np.concatenate([getattr(sims, field.name) for _, sims in parts])
        for field in fields(Sims)
        if getattr(parts[0][1], field.name) is not None
    }
    return evaluation, Sims(**columns), pl.concat(rules), view


def _named(part: Futures, names: pl.DataFrame) -> pl.DataFrame:
    keys = pl.DataFrame({"sim_key": part.sims.sim_keys}, schema={"sim_key": pl.Int32})
    return keys.join(names, on="sim_key", how="left", maintain_order="left")


def _without_settled(runtime: Runtime, as_of: date, evaluation: Evaluation, sims: Sims) -> Evaluation:
    """The evaluation in which what people decided on lately is not possible again; "nothing" always is."""
    which = {"as_of": as_of, "days": DISMISSED_DAYS, "rest": ACCEPTED_DAYS}
    settled = runtime.database.frame("recommendations_settled", SETTLED_SCHEMA, which)
    place = {int(key): row for row, key in enumerate(sims.sim_keys)}
    possible: BoolArray = evaluation.possible.copy()
    for key, kind, is_dismissed, saving in settled.iter_rows():
        if key not in place or kind == "nothing":
            continue
        row = place[key]
        for k, action in enumerate(evaluation.actions):
            worth = is_dismissed and evaluation.saving[row, k] >= DOUBLED * max(saving, 1)
            if action.kind == kind and not worth:
                possible[row, k] = False
    return Evaluation(**vars(evaluation) | {"possible": possible})


def _rows(frame: pl.DataFrame, rules: pl.DataFrame, prices: PriceList) -> pl.DataFrame:
    """What is stored of each SIM, but for its scoring."""
    said = rules.select("sim_key", rule_action="verdict", rule_saving_minor=pl.col("saving").round().cast(pl.Int64))
    return frame.join(said, on="sim_key", how="left", maintain_order="left").select(
        "sim_key",
        "action",
        pl.col("month", "packs").cast(pl.Int16),
        *(
            pl.col(name).round().cast(pl.Int64).alias(f"{name}_minor")
            for name in ("cost", "spend", "saving", "saving_p10", "saving_p90")
        ),
        # of a hundred futures, no more is known
        pl.col("outage_days").round(2),
        pl.col("outage_p", "probability").round(4).clip(0, 1),
        pl.lit(prices.currency).alias("currency"),
        "reason",
        "valid_until",
        pl.col("rule_action").fill_null("no_quota"),
        "rule_saving_minor",
    )


def _content(
    evaluation: Evaluation, chosen: FleetChoice, frame: pl.DataFrame, known: KnownPrices, limit: float | None
) -> dict[str, Any]:
    """The fleet's choice, JSON-ready, amounts in minor units."""
    assert known.prices is not None
    by_action = (
        frame.filter(pl.col("action") != "nothing")
        .group_by("action")
        .agg(sims=pl.len(), saving_minor=pl.col("saving").sum().round(), spend_minor=pl.col("spend").sum().round())
        .sort("saving_minor", "action", descending=[True, False])
        .with_columns(pl.col("saving_minor", "spend_minor").cast(pl.Int64))
    )
    return {
        "currency": known.prices.currency,
        "sims": frame.height,
        "at_stake_minor": round(float(evaluation.cost[:, 0].sum())),
        "cost_minor": round(chosen.cost),
        "bound_minor": _whole(chosen.bound),
        "saving_minor": round(float(frame["saving"].sum())),
        "outage_days": round(float(frame["outage_days"].sum()), 1),
        "outage_days_nothing": round(float(evaluation.outage_days[:, 0].sum()), 1),
        "budget_minor": None if limit is None else round(100 * limit),
        "spend_minor": [round(float(amount)) for amount in chosen.spend],
        # what one minor unit more would save in each month
        "shadow_price": [round(float(price), 4) if np.isfinite(price) else None for price in chosen.shadow_price],
        "sims_above_limit": int(chosen.above_limit.sum()),
        "actions": by_action.to_dicts(),
        "prices": known.prices.to_dict(),
        "notes": list(known.notes),
    }


def _whole(amount: float) -> int | None:
    return round(amount) if np.isfinite(amount) else None


def _write(
    runtime: Runtime, as_of: date, run_id: str, rows: pl.DataFrame, chosen: FleetChoice, content: dict[str, Any]
) -> Merged:
    """Write all of the day in one transaction, and forget what is old."""
    version = champion_of(runtime, FORECASTER)
    what = {"model_name": FORECASTER, "model_version": version.version, "run_id": run_id, "as_of": as_of}
    with runtime.database.transaction() as transaction:
        scoring = transaction.row("new_scoring", what | {"now": runtime.clock()})
        assert scoring is not None
        named = rows.with_columns(
            pl.lit(as_of).alias("as_of"), pl.lit(scoring["scoring_id"], pl.Int32).alias("scoring_id")
        )
        merged = transaction.merge("merge_quota_recommendations", named)
        if not merged.new + merged.changed:
            transaction.execute("remove_scoring", {"scoring_id": scoring["scoring_id"]})
        transaction.execute(
            "save_quota_fleet",
            {
                "as_of": as_of,
                "state": chosen.status,
                "note": chosen.note,
                "run_id": run_id,
                "content": json.dumps(content),
                "now": runtime.clock(),
            },
        )
        last = runtime.last_complete_day()
        before = {"idle_before": last - timedelta(days=IDLE_DAYS), "before": last - timedelta(days=KEPT_DAYS)}
        transaction.execute("forget_recommendations", before)
    return merged


def _save_fleet(runtime: Runtime, as_of: date, state: str, note: str, run_id: str, content: dict[str, Any]) -> None:
    said = {"as_of": as_of, "state": state, "note": note, "run_id": run_id, "content": json.dumps(content)}
    with runtime.database.transaction() as transaction:
        transaction.execute("save_quota_fleet", said | {"now": runtime.clock()})
