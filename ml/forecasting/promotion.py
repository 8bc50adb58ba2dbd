"""Whether a newly trained forecaster may score."""

import math
from datetime import date
from typing import Protocol

from ml.forecasting import ForecastModel
from ml.forecasting.backtest import Backtest
from ml.forecasting.comparison import Comparison
from ml.words import percent

# how many of unseen days the 80 % interval of a champion has held, in its backtest
MIN_COVERAGE, MAX_COVERAGE = 0.7, 0.9


class Numbered(Protocol):
    """A registered version, of which nothing but its number is needed here."""

    @property
    def version(self) -> int: ...


def acceptance(tested: Backtest) -> tuple[str, str]:
    """Check whether a version may score at all: (role, why). The bounds leave room for a small fleet's noise, not for a
    broken model."""
    if tested.status != "ok":
        return "challenger", f"it could not be tested: {tested.note}"
    rmase, covered = tested.summary["rmase"], tested.summary["coverage_80"]
    if not rmase < 1:  # NaN included: a fleet without traffic says nothing
        return "challenger", f"its error is {rmase:.2f} times the seasonal naive baseline's"
    if math.isnan(covered):
        return "challenger", "how many unseen days its 80 % interval covered is unknown"
    if not MIN_COVERAGE <= covered <= MAX_COVERAGE:
        return "challenger", f"its 80 % interval covered {percent(covered)} of unseen days"
    return (
        "champion",
        f"error {rmase:.2f} times the baseline's, 80 % interval covered {percent(covered)} of unseen days",
    )


def decide(
    tested: Backtest,
    *,
    as_of: date,
    champion: Numbered | None,
    champion_model: ForecastModel | None,
    compared: Comparison | None,
) -> tuple[str, str]:
    """The role of a new version and why: it must pass `acceptance`, and not be worse than the champion on days unseen
    by both.

    champion, champion_model  the present champion and its model, which is None when today's code cannot use it
    Without such days there is nothing to compare: the version that knows more of the past scores.
    """
    role, why = acceptance(tested)
    if champion is None or champion_model is None or compared is None:
        first = (
            f"the champion, version {champion.version}, cannot score: it is of other code, or its files are broken"
            if champion
            else "the first version"
        )
        return "champion", f"{first}{';' if role == 'champion' else ', although'} {why}"
    if role == "champion":
        figures, old = compared.summary, f"version {champion.version}"
        if as_of < champion_model.as_of:
            role, beside = "challenger", f"it knows less than the champion, {old}, as of {champion_model.as_of}"
        elif not figures:
            beside = f"not compared with {old}: {compared.note}"
        elif compared.worse:
            role, beside = "challenger", f"{compared.worse}, {old}, over {compared.note}"
        else:
            errors = f"error {figures['rmase']:.3f} against {figures['champion_rmase']:.3f} of the baseline's"
            beside = f"not worse than {old} ({errors}) over {compared.note}"
        why = f"{beside}; {why}"
    return role, why
