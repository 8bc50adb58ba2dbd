"""The registered model `quota-policy`: whether the recommendations are worth following, replayed on the fleet's own
past months beside the plain rules and doing nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.exhaustion.extrapolation import fit_extrapolation
from ml.forecasting import fit
from ml.forecasting.segments import nan_mean
from ml.history import FloatArray, dense
from ml.quota.actions import ACTIONS, Action, Evaluation, Sims, evaluate
from ml.quota.optimiser import optimise
from ml.quota.prices import PriceList
from ml.quota.replay import Policy, Replayed, nothing, replay
from ml.quota.rules import HISTORY_DAYS, plain_rules
from ml.quota.use import MONTH_DAYS
from resources.runtime import Runtime
from services.inputs import HORIZON
from services.model_specs import QUOTA_POLICY, Champion, Log, Metric, ModelSpec, Trained, TrainingInputs, register
from services.models import train_and_register
from services.quota.futures import NAMES_SCHEMA, Known, Terms, futures, load_known, sims_of
from services.quota.prices import load_prices

# so many that half a year of history, all that 1NCE gives of the past, holds 90 days before them, as the rules need
REPLAYED_MONTHS = 2
REPLAYED_DAYS = REPLAYED_MONTHS * MONTH_DAYS
SAMPLE_SIMS = 2_000
ONE_PACK = ACTIONS.index(Action("top_up"))


@dataclass(frozen=True)
class QuotaPolicy:
    """What was found of the policy `ours`: minor units and outage days of each policy, and the prices it was replayed
    with.
    """

    metrics: dict[str, float]
    prices: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {"policy": "ours", "metrics": self.metrics, "prices": self.prices}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> QuotaPolicy:
        """The policy that `to_dict` gave. Raises KeyError for anything else."""
        return cls(values["metrics"], values["prices"])


def training_inputs(runtime: Runtime, as_of: date) -> TrainingInputs:
    """Usage, quotas and prices of at most SAMPLE_SIMS SIMs."""
    found = load_prices(runtime.database, runtime.settings)
    keys = runtime.database.frame("labels_of_sims", NAMES_SCHEMA, {"first_key": 0, "last_key": 2**31 - 1})["sim_key"]
    only = keys.gather_every(-(-len(keys) // SAMPLE_SIMS)).to_list() if len(keys) > SAMPLE_SIMS else None
    known = load_known(runtime.database, as_of, only=only)
    settings: dict[str, Any] = {"outage_limit": runtime.settings.outage_limit}
    if found.prices is None:
        return TrainingInputs({}, settings, found.problem)
    first = None if known is None else known.history["day"].min()
    needed = REPLAYED_DAYS + HISTORY_DAYS
    if known is None or not isinstance(first, date) or (as_of - first).days + 1 < needed:
        days = (as_of - first).days + 1 if isinstance(first, date) else 0
        return TrainingInputs({}, settings, f"not enough history to replay: {days} days, {needed} needed")
    prices = pl.DataFrame({"prices": [str(sorted(found.prices.to_dict().items()))]})
    return TrainingInputs({"history": known.history, "quotas": known.terms.quotas, "prices": prices}, settings)


def train_policy(runtime: Runtime, as_of: date, inputs: TrainingInputs, champion: Champion | None, log: Log) -> Trained:
    """Replay the last REPLAYED_MONTHS months. Ours is champion only where it is not dearer than the plain rules at
    equal or fewer outage days.
    """
    prices = load_prices(runtime.database, runtime.settings).prices
    assert prices is not None, "training_inputs says where there are none"
    known = Known(Terms(as_of, inputs.frames["quotas"]), inputs.frames["history"])
    panel = dense(known.history, as_of=as_of)
    wanted = wanted_use(panel.values)
    sims = sims_of(known, panel.sim_keys)
    limit = inputs.settings["outage_limit"]
    ended = {
        "nothing": replay(wanted, sims, prices, nothing),
        "rules": replay(wanted, sims, prices, _rules(known, prices)),
        "ours": replay(wanted, sims, prices, _ours(known, prices, limit, runtime.settings.seed)),
    }
    metrics = _metrics(ended, prices) | {"sims": float(sims.sim_keys.size)}
    log(describe_policy(metrics))
    better = metrics["ours_cost"] <= metrics["rules_cost"] and metrics["ours_outages"] <= metrics["rules_outages"]
    return Trained(
        model=QuotaPolicy(metrics, prices.to_dict()).to_dict(),
        metrics=metrics,
        role="champion" if better else "challenger",
        why="not dearer than the plain rules at no more outage days" if better else "the plain rules did better",
        metadata={"replayed": describe_policy(metrics)},
    )


def wanted_use(values: FloatArray) -> FloatArray:
    """Bytes that each device wanted on the days replayed, (sims, REPLAYED_DAYS), of (sims, days) with NaN for unknown.

    On a day without volume that is unknown: the mean of the SIM's known days. One that was without volume all the time
    wants what it used before: else it would count as idle, and whoever buys for it as wasteful. Zero where nothing is
    known.
    """
    recent, before = values[:, -REPLAYED_DAYS:], values[:, :-REPLAYED_DAYS]
    silenced = np.isnan(recent).all(axis=1)
    usual = np.where(silenced, nan_mean(before), nan_mean(recent))
    return np.where(np.isnan(recent), usual[:, None], recent)


def _metrics(ended: dict[str, Replayed], prices: PriceList) -> dict[str, float]:
    costs = {f"{name}_cost": round(done.cost(prices) / 100, 2) for name, done in ended.items()}
    return costs | {f"{name}_outages": float(done.outage_days) for name, done in ended.items()}


def _until(known: Known, month: int) -> Known:
    """What was known on the day before a month of the replay begins."""
    as_of = known.as_of - timedelta(days=REPLAYED_DAYS - MONTH_DAYS * month)
    return Known(Terms(as_of, known.terms.quotas), known.history.filter(pl.col("day") <= as_of))


def _rules(known: Known, prices: PriceList) -> Policy:
    """The plain rules: who is over-used is topped up. A downgrade cannot be bought and changes nothing."""

    def decide(month: int, sims: Sims) -> npt.NDArray[np.int64]:
        then = _until(known, month)
        left: npt.NDArray[np.int64] = np.maximum(sims.left, 0).astype(np.int64)
        quotas = pl.DataFrame({"sim_key": sims.sim_keys, "quota": left})
        found = plain_rules(then.history, quotas, as_of=then.as_of, price_per_mb=prices.per_mb)
        over = (found["verdict"] == "upgrade").to_numpy() & ~sims.auto_top_up
        return np.where(over, ONE_PACK, 0).astype(np.int64)

    return decide


def _ours(known: Known, prices: PriceList, limit: float, seed: int) -> Policy:
    """The recommendations, from a forecaster that knows nothing of the months replayed."""
    begin = _until(known, 0)
    model = fit(begin.history, as_of=begin.as_of, horizon=HORIZON, seed=seed)
    extrapolation = fit_extrapolation(begin.history, as_of=begin.as_of, horizon=HORIZON, seed=seed)

    def decide(month: int, sims: Sims) -> npt.NDArray[np.int64]:
        then = _until(known, month)
        parts, keys = [], []
        for part in futures(then, model, extrapolation):
            rows = np.searchsorted(sims.sim_keys, part.sims.sim_keys)
            parts.append(evaluate(part.use, sims.take(rows), prices))
            keys.append(rows)
        choice = np.zeros(sims.sim_keys.size, dtype=np.int64)
        choice[np.concatenate(keys)] = optimise(Evaluation.stacked(parts), outage_limit=limit).choice
        return choice

    return decide


def describe_policy(metrics: dict[str, float]) -> str:
    """How the policies did, in a sentence or two."""
    return (
        f"In {REPLAYED_MONTHS} past months of {metrics['sims']:.0f} SIMs, as if each had begun with what it has now, "
        f"the recommendations would have cost {metrics['ours_cost']:,.2f} with {metrics['ours_outages']:.0f} outage "
        f"days, the plain rules {metrics['rules_cost']:,.2f} with {metrics['rules_outages']:.0f}, and doing nothing "
        f"{metrics['nothing_cost']:,.2f} with {metrics['nothing_outages']:.0f}."
    )


SPEC = register(
    ModelSpec(
        name=QUOTA_POLICY,
        asset="quota_policy",
        read=QuotaPolicy.from_dict,
        inputs=training_inputs,
        train=train_policy,
        metrics=(
            Metric("cost", "ours_cost", ",.0f", "of the recommendations in past months, outage days included"),
            Metric("by rules", "rules_cost", ",.0f", "of the plain rules in the same months"),
            Metric("outage days", "ours_outages", ",.0f", "with the recommendations"),
        ),
        retrain_days=30,
        card="Says whether recommendations for quotas are worth following: they are replayed on the fleet's own last "
        "two months, beside the plain rules and doing nothing.",
        limits="Every SIM begins the replay with what it has now, since older quotas are seldom known. Use on days "
        "without volume is estimated. Prices are those of today. Recommendations are made with or without a champion; "
        "where the plain rules did better, read them with care.",
        describe=describe_policy,
    )
)


def train(runtime: Runtime, as_of: date, *, log: Log = lambda text: None) -> dict[str, Any]:
    """Replay the past months and register the outcome; see `train_and_register`."""
    return train_and_register(runtime, SPEC, as_of, log=log)
