"""Recommendations for every SIM's quota as of a day, within the fleet's budget and each SIM's limit of risk.

What each action comes to is evaluated over blocks of SIMs; which of them is taken is chosen once, for the whole fleet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from ml.exhaustion.extrapolation import TRAINING_SIMS as EXTRAPOLATED_SIMS
from ml.exhaustion.extrapolation import Extrapolation, fit_extrapolation
from ml.plots.quota import plot_cost_outage, plot_savings
from ml.quota.actions import ACTIONS, MONTHS, BoolArray, Evaluation, Sims, evaluate
from ml.quota.optimiser import FleetChoice, optimise
from ml.quota.prices import PriceList
from ml.quota.recommendations import recommendations
from ml.quota.rules import plain_rules
from resources.database.session import Merged, Transaction
from resources.registry import Version
from resources.runtime import Runtime
from services.forecasting import load_model
from services.inputs import HORIZON, NoUsageError, evenly, load_history, sims_between
from services.model_specs import FORECASTER
from services.outlooks import FORECASTS
from services.quota.fleet import FleetView, fleet_view
from services.quota.futures import Futures, futures_ahead, load_outlook_of_terms, load_terms
from services.quota.prices import KnownPrices, load_prices
from services.scoring import Block, PublishContext, Scored, ScoringTask

# what was dismissed is not recommended again for so long, unless its saving doubles; what was accepted not until it
# can be seen
DISMISSED_DAYS, ACCEPTED_DAYS = 30, 7
DOUBLED = 2
# how long undecided recommendations are kept: "nothing" a week, others until their savings are looked at
IDLE_DAYS, KEPT_DAYS = 7, 100
# how many SIMs with an action the picture of cost against outage shows
SHOWN_SIMS = 2000
SHOWN_SCHEMA = {"action": pl.String} | dict.fromkeys(
    ("saving", "saving_p10", "saving_p90", "spend", "outage_days"), pl.Float64
)
SETTLED_SCHEMA = {"sim_key": pl.Int32, "action": pl.String, "is_dismissed": pl.Boolean, "saving_minor": pl.Int64}


def _prepare(runtime: Runtime, as_of: date, champion: Version) -> dict[str, Any]:
    """The price list, and how use goes on beyond the forecast. A list with holes is a state and no error."""
    database, seed = runtime.database, runtime.settings.seed
    known = load_prices(database, runtime.settings)
    prices = None if known.prices is None else known.prices.to_dict()
    shared = {"prices": prices, "problem": known.problem, "notes": list(known.notes)}
    if prices is None:
        return shared
    # no more SIMs are looked at
    some = evenly(sims_between(database), EXTRAPOLATED_SIMS).to_list()
    extrapolation = fit_extrapolation(load_history(database, as_of, some), as_of=as_of, horizon=HORIZON, seed=seed)
    return shared | {"extrapolation": vars(extrapolation)}


def _known_prices(shared: dict[str, Any]) -> KnownPrices:
    """The price list that `_prepare` found."""
    prices = None if shared["prices"] is None else PriceList.of(shared["prices"])
    return KnownPrices(prices, shared["problem"], tuple(shared["notes"]))


def _score(runtime: Runtime, block: Block, shared: dict[str, Any]) -> Scored:
    """What each action comes to for every SIM of a block, and what the plain rules say of it. Its summary is the
    block's part of the fleet's money. Which action is taken is decided for the fleet as a whole, in `_write`.
    """
    prices = _known_prices(shared).prices
    if prices is None:
        return Scored(pl.DataFrame(), 0)
    terms = load_terms(runtime.database, block.as_of, block.first_key, block.last_key)
    outlook = load_outlook_of_terms(runtime, block, load_model(runtime, block.version), terms)
    if outlook is None:
        return Scored(pl.DataFrame(), 0)
    extrapolation = Extrapolation(**shared["extrapolation"])
    view, tables = FleetView(prices, block.as_of), []
    for part in futures_ahead(terms, outlook, extrapolation):
        tables.append(_table(evaluate(part.use, part.sims, prices), part.sims))
        view.add(part, _named(part, terms.names))
    if not tables:
        return Scored(pl.DataFrame(), 0)
    quotas = terms.quotas.select("sim_key", quota=pl.col("quota_left").clip(0))
    rules = plain_rules(outlook.recent_history(block.as_of), quotas, as_of=block.as_of, price_per_mb=prices.per_mb)
    said = rules.select(
        pl.col("sim_key").cast(pl.Int64).alias("sim_keys"),
        rule_action="verdict",
        rule_saving_minor=pl.col("saving").round().cast(pl.Int64),
    )
    rows = pl.concat(tables).join(said, on="sim_keys", how="left", maintain_order="left")
    return Scored(rows, rows.height, summary=view.summary())


def _named(part: Futures, names: pl.DataFrame) -> pl.DataFrame:
    keys = pl.DataFrame({"sim_key": part.sims.sim_keys}, schema={"sim_key": pl.Int32})
    return keys.join(names, on="sim_key", how="left", maintain_order="left")


def _table(evaluation: Evaluation, sims: Sims) -> pl.DataFrame:
    """One row a SIM: what is known of it, and what each of ACTIONS comes to, side by side in arrays."""
    given = {name: values for name, values in (vars(evaluation) | vars(sims)).items() if values is not None}
    return pl.DataFrame([pl.Series(name, values) for name, values in given.items() if name != "actions"])


def _of_table(table: pl.DataFrame) -> tuple[Evaluation, Sims]:
    """What `_table` was given."""
    figures, known = (
        {part.name: table[part.name].to_numpy() for part in fields(kind) if part.name in table.columns}
        for kind in (Evaluation, Sims)
    )
    return Evaluation(ACTIONS, **figures), Sims(**known)


def _write(transaction: Transaction, day: PublishContext, blocks: Iterator[pl.DataFrame]) -> dict[str, Any]:
    """Choose an action for every SIM of the fleet, write all of them, and forget what is old; returns metadata.

    Raises NoUsageError without any SIM that was evaluated.
    """
    known, settings = _known_prices(day.shared), day.settings
    if known.prices is None:
        _save_fleet(transaction, day, "no_prices", known.problem, {"notes": list(known.notes)})
        return {"state": "no_prices", "missing": known.problem}
    tables = list(blocks)
    if not tables:
        raise NoUsageError(
            f"no usage is stored up to {day.as_of}: run `simsight ingest` first, or choose a later as-of day"
        )
    table = pl.concat(tables)
    evaluation, sims = _of_table(table)
    evaluation = _without_settled(transaction, day.as_of, evaluation, sims)
    limit, currency = settings.month_budget, known.prices.currency
    budget = None if limit is None else [100 * limit] * MONTHS
    chosen = optimise(evaluation, budget=budget, outage_limit=settings.outage_limit)
    frame = recommendations(evaluation, sims, chosen.choice, as_of=day.as_of, currency=currency)
    content = _content(evaluation, chosen, frame, known, limit) | fleet_view(day.summaries)
    _save_fleet(transaction, day, chosen.status, chosen.note, content)
    merged = _merged(transaction, day, _rows(frame, table, currency))
    # nothing that comes later in a day looks at them
    transaction.execute("forget_outlooks", {"work_id": day.run_id, "part": FORECASTS, "as_of": day.as_of})
    return {
        "dagster/row_count": merged.rows,
        "rows new": merged.new,
        "rows changed": merged.changed,
        "state": chosen.status,
        "budget": chosen.note,
        **({"assumed": " ".join(known.notes)} if known.notes else {}),
        "SIMs with an action": frame.filter(pl.col("action") != "nothing").height,
        f"expected saving, {currency}": round(float(frame["saving"].sum()) / 100, 2),
        f"at stake if nothing is done, {currency}": round(content["at_stake_minor"] / 100, 2),
        "zombie SIMs": content["zombies"]["sims"],
    }


def _show(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """Pictures of what is recommended as of a day."""
    fleet = runtime.database.row("quota_fleet", {"as_of": as_of})
    if fleet is None or fleet["state"] == "no_prices":
        return {}
    acted = runtime.database.frame("recommended_actions", SHOWN_SCHEMA, {"as_of": as_of})
    currency, note = fleet["content"]["currency"], runtime.data_note
    return {
        "savings by action": plot_savings(acted, currency=currency, note=note),
        "cost against outage": plot_cost_outage(acted.head(SHOWN_SIMS), currency=currency, note=note),
    }


RECOMMENDATIONS = ScoringTask("quota_recommendations", FORECASTER, _prepare, _score, _write, _show)


def _without_settled(transaction: Transaction, as_of: date, evaluation: Evaluation, sims: Sims) -> Evaluation:
    """The evaluation in which what people decided on lately is not possible again; "nothing" always is."""
    which = {"as_of": as_of, "days": DISMISSED_DAYS, "rest": ACCEPTED_DAYS}
    settled = transaction.frame("recommendations_settled", SETTLED_SCHEMA, which)
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
    return replace(evaluation, possible=possible)


def _rows(frame: pl.DataFrame, table: pl.DataFrame, currency: str) -> pl.DataFrame:
    """What is stored of each SIM, but for its scoring."""
    return frame.hstack(table.select("rule_action", "rule_saving_minor")).select(
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
        pl.lit(currency).alias("currency"),
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


def _merged(transaction: Transaction, day: PublishContext, rows: pl.DataFrame) -> Merged:
    """Write the rows of the day, and forget those that are old."""
    what = {"model_name": FORECASTER, "model_version": day.version.version, "run_id": day.run_id, "as_of": day.as_of}
    scoring = transaction.row("new_scoring", what | {"now": day.now})
    assert scoring is not None
    scoring_id = pl.lit(scoring["scoring_id"], pl.Int32).alias("scoring_id")
    merged = transaction.merge(
        "merge_quota_recommendations", rows.with_columns(pl.lit(day.as_of).alias("as_of"), scoring_id)
    )
    if not merged.new + merged.changed:
        transaction.execute("remove_scoring", {"scoring_id": scoring["scoring_id"]})
    kept = {"idle_before": IDLE_DAYS, "before": KEPT_DAYS}
    before = {name: day.last_day - timedelta(days=days) for name, days in kept.items()}
    transaction.execute("forget_recommendations", before)
    return merged


def _save_fleet(transaction: Transaction, day: PublishContext, state: str, note: str, content: dict[str, Any]) -> None:
    said = {"as_of": day.as_of, "state": state, "note": note, "run_id": day.run_id, "content": json.dumps(content)}
    transaction.execute("save_quota_fleet", said | {"now": day.now})
