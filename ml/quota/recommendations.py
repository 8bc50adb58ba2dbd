"""What is recommended for each SIM, in figures and in a sentence."""

from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.history import FloatArray
from ml.quota.actions import Action, Evaluation, Sims
from ml.quota.use import MONTH_DAYS
from ml.words import percent, so_many

RECOMMENDATION_SCHEMA = {
    "sim_key": pl.Int32,
    "action": pl.String,
    "month": pl.Int32,
    "packs": pl.Int32,
    "cost": pl.Float64,
    "spend": pl.Float64,
    "outage_days": pl.Float64,
    "outage_p": pl.Float64,
    "saving": pl.Float64,
    "saving_p10": pl.Float64,
    "saving_p90": pl.Float64,
    "probability": pl.Float64,
    "reason": pl.String,
    "valid_until": pl.Date,
}
# What the reason calls an action.
_SAID = {
    "top_up": "Topping it up",
    "auto_top_up_on": "Topping it up automatically",
    "auto_top_up_off": "Switching its automatic top-up off",
    "lower_limit": "A lower limit",
    "extend": "Extending it",
    "swap": "A new card",
    "retire": "Retiring it",
}


def recommendations(
    evaluation: Evaluation, sims: Sims, choice: npt.NDArray[np.int64], *, as_of: date, currency: str
) -> pl.DataFrame:
    """The chosen action of every SIM, in their order (RECOMMENDATION_SCHEMA).

    choice  (sims,) index into the evaluation's actions, from `best` or `ml.quota.optimiser.optimise`

    month        in which of the next months it is done; null for "nothing"
    cost, saving  expected over the whole horizon, minor units; the saving is against doing nothing, with 10 and 90 %
                 quantiles
    spend        expected money in the months of decision
    outage_days, outage_p  with the action done, in the months of decision
    probability  that the action saves anything
    valid_until  last day on which it should be done as it is: of one for now, the day before the first chance of an
                 outage grows beyond a tenth or the end of its month, of a later one its month's first day
    """
    rows = np.arange(choice.size)
    months = np.array([action.month for action in evaluation.actions])[choice]
    kinds = np.array([action.kind for action in evaluation.actions])[choice]
    idle = kinds == "nothing"

    def chosen(values: FloatArray) -> FloatArray:
        return np.asarray(values[rows, choice], dtype=np.float64)

    # An outage in the first month that is likelier than a tenth leaves less time, in proportion.
    soon = np.clip(0.1 / np.maximum(evaluation.first_outage_p, 0.1), 0, 1)
    wait = np.where(months == 1, np.where(idle, MONTH_DAYS, np.maximum(np.floor(MONTH_DAYS * soon), 1)), 0)
    wait = wait + np.where(months > 1, MONTH_DAYS * (months - 1) + 1, 0)
    return pl.DataFrame(
        {
            "sim_key": sims.sim_keys,
            "action": kinds,
            "month": pl.Series(np.where(idle, 0, months)).replace(0, None),
            "packs": [evaluation.actions[k].packs if evaluation.actions[k].kind == "top_up" else None for k in choice],
            "cost": chosen(evaluation.cost),
            "spend": evaluation.spend[rows, choice].sum(axis=1),
            "outage_days": chosen(evaluation.outage_days),
            "outage_p": chosen(evaluation.outage_p),
            "saving": chosen(evaluation.saving),
            "saving_p10": chosen(evaluation.saving_p10),
            "saving_p90": chosen(evaluation.saving_p90),
            "probability": chosen(evaluation.saves),
            "reason": reasons(evaluation, sims, choice, currency),
            "valid_until": np.datetime64(as_of, "D") + wait.astype("timedelta64[D]"),
        }
    ).select(pl.col(name).cast(kind) for name, kind in RECOMMENDATION_SCHEMA.items())


def best(evaluation: Evaluation, *, outage_limit: float = 1.0) -> npt.NDArray[np.int64]:
    """The cheapest possible action of each SIM, as an index; the first of equal ones, so "nothing" wins a tie.

    outage_limit  largest probability of an outage in the months of decision that is accepted; where no action keeps
                  it, the one with the least probability is taken
    """
    return np.asarray(np.argmin(with_limit(evaluation, outage_limit), axis=1), dtype=np.int64)


def with_limit(evaluation: Evaluation, outage_limit: float) -> FloatArray:
    """Cost (sims, actions), infinite for what is not possible or not accepted; see `best`. Each SIM has one at least.

    Raises ValueError for a limit outside 0 to 1.
    """
    if not 0 <= outage_limit <= 1:
        raise ValueError(f"the outage limit is {outage_limit}; it must be a probability, 0 to 1")
    risk = np.where(evaluation.possible, evaluation.outage_p, np.inf)
    accepted = risk <= np.maximum(outage_limit, risk.min(axis=1))[:, None] + 1e-12
    return np.where(accepted, evaluation.cost, np.inf)


def reasons(evaluation: Evaluation, sims: Sims, choice: npt.NDArray[np.int64], currency: str) -> list[str]:
    """One sentence or two a SIM: what is ahead, what the action does about it, and what that saves."""
    rows = np.arange(choice.size)
    before, after = evaluation.outage_p[:, 0], evaluation.outage_p[rows, choice]
    saving = evaluation.saving[rows, choice]
    unknown, expiry = np.isnan(sims.left), sims.expiry_days
    said = []
    for row, k in enumerate(choice.tolist()):
        action = evaluation.actions[k]
        if unknown[row]:
            said.append("Its quota is unknown, so nothing can be recommended.")
            continue
        ahead = _ahead(float(before[row]), float(expiry[row]))
        if action.kind == "nothing":
            auto = " It is topped up automatically." if sims.auto_top_up[row] else ""
            said.append(f"{ahead}{auto} No action is cheaper.")
            continue
        gain = saving[row] / 100
        money = f"saves {gain:,.2f} {currency}" if gain >= 0 else f"costs {-gain:,.2f} {currency} more"
        when = "" if action.month == 1 else f" in month {action.month}"
        said.append(f"{ahead} {_SAID[action.kind]}{when} {money} and leaves a risk of {percent(float(after[row]))}.")
    return said


def _ahead(chance: float, expiry: float) -> str:
    if expiry <= 0:
        return "It has expired."
    if expiry <= 3 * MONTH_DAYS:
        when = so_many(round(expiry), "day")
        return f"It expires in {when}; an outage within 90 days has a probability of {percent(chance)}."
    return f"Left alone, it has an outage within 90 days with a probability of {percent(chance)}."


def shown(action: Action) -> str:
    """An action in words, for tables and pictures: "top up in month 2"."""
    words = action.kind.replace("_", " ").replace("top up", "top-up") if "auto" in action.kind else action.kind
    words = words.replace("_", " ")
    more = f" x {action.packs}" if action.packs > 1 else ""
    return f"{words}{more}" + (f" in month {action.month}" if action.month > 1 else "")
