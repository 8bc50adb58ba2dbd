"""What the rest of the program must know of a model to train it, list it, take it back and score with it.

A model is one `register(ModelSpec(...))` in its use case, named in `services.known_models`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from ml.words import percent
from resources.errors import UsageError
from resources.registry import Signature

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

    from resources.registry import Version
    from resources.runtime import Runtime

FORECASTER, DETECTOR, TICKETS = "usage-forecaster", "anomaly-detector", "ticket-classifier"
CHURN = "churn-model"
QUOTA_POLICY = "quota-policy"
Log = Callable[[str], object]


class UnknownModelError(UsageError):
    """There is no model of that name; the message says which there are."""


@dataclass(frozen=True)
class TrainingInputs:
    """What a model is trained from.

    frames    the data, by name
    settings  settings that the outcome rests on beside the seed; they are kept as parameters of the version
    missing   why nothing can be trained; empty where it can
    """

    frames: dict[str, pl.DataFrame]
    settings: dict[str, Any] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True)
class Champion:
    """The version that scores while a new one is trained.

    read  gives its model; None where today's code cannot use it
    """

    version: Version
    read: Callable[[], Any]


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    model       as it is saved: JSON-ready, what ModelSpec.read reads
    metrics     of its own backtest
    role, why   champion or challenger, and the reason in a sentence
    parameters  kept with the version beside the common ones
    comparison  figures by name against the champion and other baselines on the same days; empty where there was nothing
                to compare
    frames      tables kept with the version, by file name (CSV)
    figures     pictures kept with the version, by file name (PNG)
    metadata    what is shown beside the common values
    learnt_from what it was trained on, in a sentence, where that is not the inputs
    """

    model: dict[str, Any]
    metrics: dict[str, float]
    role: str
    why: str
    parameters: dict[str, Any] = field(default_factory=dict)
    comparison: dict[str, Any] = field(default_factory=dict)
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    learnt_from: str = ""


@dataclass(frozen=True)
class Metric:
    """A metric that `simsight models` shows: its heading, its name, its format, and what it means where the heading
    does not say it.
    """

    heading: str
    name: str
    form: str
    meaning: str = ""

    def write(self, value: float) -> str:
        """The value as it is shown; the format "%" is that of `ml.words.percent`."""
        return percent(value) if self.form == "%" else f"{value:{self.form}}"


@dataclass(frozen=True)
class ModelSpec:
    """A registered model.

    name     in the registry and in the database
    asset    the asset that trains it
    read     the model from its saved form; raises ValueError or KeyError for what other code saved
    inputs   (runtime, as-of day) -> what it is trained from
    train    (runtime, as-of day, inputs, champion, log) -> Trained
    metrics  what `simsight models` shows of each version
    retrain_days  it is trained again when its newest version knows nothing of so many last days
    cron          when it is trained besides, however old it is; "" for by its age alone
    card     what it predicts and from what
    limits   what it is not for, and how far its figures reach
    describe (backtest figures by name) -> how good a version is, in a sentence or two
    predict  (model, frame, options) -> frame, by `signature`: what MLflow's loadable form of a version does; None where
             it has none
    """

    name: str
    asset: str
    read: Callable[[dict[str, Any]], Any]
    inputs: Callable[[Runtime, date], TrainingInputs]
    train: Callable[[Runtime, date, TrainingInputs, Champion | None, Log], Trained]
    metrics: tuple[Metric, ...] = ()
    retrain_days: int = 7
    cron: str = ""
    card: str = ""
    limits: str = ""
    describe: Callable[[dict[str, float]], str] = lambda metrics: ""
    predict: Callable[[Any, pl.DataFrame, dict[str, Any]], pl.DataFrame] | None = None
    signature: Signature | None = None


def as_of_option(history: pl.DataFrame, options: dict[str, Any]) -> date:
    """The as-of day that `predict` was asked for, or else the newest day of its frame."""
    if options.get("as_of"):
        return date.fromisoformat(options["as_of"])
    newest = history["day"].max()
    assert isinstance(newest, date)
    return newest


_SPECS: dict[str, ModelSpec] = {}


def register(spec: ModelSpec) -> ModelSpec:
    """Make a model known to training, status, command line and scoring. The same name again replaces it."""
    _SPECS[spec.name] = spec
    return spec


def specs() -> tuple[ModelSpec, ...]:
    """All models, in the order they were registered."""
    return tuple(_SPECS.values())


def spec_of(name: str) -> ModelSpec:
    """The model of that name. Raises UnknownModelError when there is none."""
    if name not in _SPECS:
        raise UnknownModelError(f"there is no model {name}; there are {', '.join(_SPECS)}")
    return _SPECS[name]
