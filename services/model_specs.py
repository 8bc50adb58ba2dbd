"""Which models there are: what the rest of the program must know of each to train it, list it, take it back and score
with it.

A new model is one `register(ModelSpec(...))` beside its pure code. Names and figures cost nothing to read: a model's
code is loaded when it is trained or read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from resources.errors import SimsightError

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

    from resources.registry import Version
    from resources.runtime import Runtime

FORECASTER, DETECTOR = "usage-forecaster", "anomaly-detector"
Log = Callable[[str], object]


class UnknownModelError(SimsightError):
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


@dataclass(frozen=True)
class Metric:
    """A metric that `simsight models` shows: its heading, its name, its format, and what it means where the heading
    does not say it.
    """

    heading: str
    name: str
    form: str
    meaning: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """A registered model.

    name     in the registry and in the database
    asset    the asset that trains it
    read     the model from its saved form; raises ValueError or KeyError for what other code saved
    inputs   (runtime, as-of day) -> what it is trained from
    train    (runtime, as-of day, inputs, champion, log) -> Trained
    metrics  what `simsight models` shows of each version
    card     what it predicts, from what, and what it is not for: the description of every version
    """

    name: str
    asset: str
    read: Callable[[dict[str, Any]], Any]
    inputs: Callable[[Runtime, date], TrainingInputs]
    train: Callable[[Runtime, date, TrainingInputs, Champion | None, Log], Trained]
    metrics: tuple[Metric, ...] = ()
    card: str = ""


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


def _read_forecaster(values: dict[str, Any]) -> Any:
    from ml.forecasting import ForecastModel

    return ForecastModel.from_dict(values)


def _forecaster_inputs(runtime: Runtime, as_of: date) -> TrainingInputs:
    from services.forecasting import training_inputs

    return training_inputs(runtime, as_of)


def _train_forecaster(
    runtime: Runtime, as_of: date, inputs: TrainingInputs, champion: Champion | None, log: Log
) -> Trained:
    from services.forecasting import train_forecaster

    return train_forecaster(runtime, as_of, inputs, champion, log)


def _read_detector(values: dict[str, Any]) -> Any:
    from ml.anomaly import AnomalyModel

    return AnomalyModel.from_dict(values)


def _detector_inputs(runtime: Runtime, as_of: date) -> TrainingInputs:
    from services.anomalies.detection import training_inputs

    return training_inputs(runtime, as_of)


def _train_detector(
    runtime: Runtime, as_of: date, inputs: TrainingInputs, champion: Champion | None, log: Log
) -> Trained:
    from services.anomalies.detection import train_detector

    return train_detector(runtime, as_of, inputs, champion, log)


register(
    ModelSpec(
        name=FORECASTER,
        asset="usage_forecaster",
        read=_read_forecaster,
        inputs=_forecaster_inputs,
        train=_train_forecaster,
        metrics=(
            Metric(
                "error",
                "rmase",
                ".2f",
                "of the median in the version's own backtest, as a share of repeating last week's",
            ),
            Metric("80 % held", "coverage_80", ".0%"),
        ),
        card="Forecasts the daily bytes of every SIM for the next 30 days, with quantiles, from the fleet's own daily "
        "usage of up to two "
        "years. Quotas, expiry dates and planned changes are not known to it.",
    )
)
register(
    ModelSpec(
        name=DETECTOR,
        asset="anomaly_detector",
        read=_read_detector,
        inputs=_detector_inputs,
        train=_train_detector,
        metrics=(
            Metric("found", "recall", ".0%", "of the anomalies put into copies of the last two weeks"),
            Metric("flagged", "flagged_per_1000", ".2f", "of 1,000 SIM-days of these weeks"),
        ),
        card="Says how rare each SIM's day is beside its own past and its peers, from daily usage and events of the "
        "last 200 days. Injected "
        "anomalies measure it: real faults may be milder, or other.",
    )
)
