"""The fleet report: one self-contained HTML page a day, for people who never open the Dagster UI."""

import base64
import os
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from assets.common import DAYS, OWNERS, RuntimeParam, as_of_days, picture, svg
from assets.forecast import HISTORY_DAYS, HORIZON, PATH_SAMPLES, load_history, load_model
from ml.forecasting import predict
from ml.history import BYTES_PER_MB, USAGE_SCHEMA, FloatArray
from ml.plots.exhaustion import plot_exhaustion
from ml.plots.forecasting import plot_fleet_forecast
from ml.silence import silence
from resources.database.session import Row, Transaction
from resources.registry import Version
from resources.runtime import Runtime

if TYPE_CHECKING:  # a second to import: only where something is drawn
    from matplotlib.figure import Figure

TOP = 20
TOP_REASONS = 10
SHOWN_DAYS = 90
CHART_INCHES = 7
DAILY_SCHEMA = {"day": pl.Date, "bytes": pl.Int64}
ENDS_SCHEMA = {
    "iccid": pl.String,
    "label": pl.String,
    "status": pl.String,
    "ends_on": pl.Date,
    "p10_date": pl.Date,
    "p90_date": pl.Date,
    "p_14": pl.Float64,
    "remaining": pl.Int64,
    "cause": pl.String,
    "total": pl.Int64,
}


# how a call that gave nothing is called for people
PROBLEMS = {
    "OnceSimExpiredError": "expired: 1NCE no longer answers for it",
    "OnceNotFoundError": "unknown to 1NCE",
    "OnceForbiddenError": "not of this account",
    "OnceRequestError": "1NCE failed to answer; it is asked again",
}


@dataclass(frozen=True, eq=False)
class FleetFacts:
    """What the page shows, as of a day; every list is the top of a longer one, and says of how long.

    daily       the fleet's bytes a day, the last SHOWN_DAYS days up to as_of: day, bytes
    forecast    expected_7 and expected_30 in bytes, and SIMs forecast; None without a forecast as of the day
    futures     (samples, days) bytes: sampled futures of the fleet's sum from as_of + 1; None without a forecast
    model       the model version that made the forecast, with its backtest; None without
    first_ends  the SIMs that end first (ENDS_SCHEMA)
    states      SIMs in each state of their life as of the day, from the most to the fewest; empty when not evaluated
    The other lists are rows of the query report_<name>.
    """

    organization: str
    as_of: date
    note: str
    probability: float
    figures: Row
    states: list[Row]
    daily: pl.DataFrame
    forecast: Row | None
    futures: FloatArray | None
    model: Row | None
    first_ends: pl.DataFrame
    incidents: list[Row]
    anomalies: list[Row]
    silent: list[Row]
    top_consumers: list[Row]
    alert_counts: list[Row]
    alerts: list[Row]
    alerts_as_of: date | None
    data: Row
    coverage: list[Row]
    quarantine: list[Row]
    poll_problems: list[Row]


@dg.asset(
    deps=["usage_forecasts", "quota_exhaustions", "alerts", "alert_rules_evaluated", "sim_lifecycle", "anomalies"],
    partitions_def=DAYS,
    group_name="report",
    kinds={"python", "html"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.reports"},
)
def fleet_report(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The fleet report as of a day (the partition): usage, forecast, who runs out first, incidents and anomalies, who is silent, alerts, data quality.

    One self-contained HTML page: no network, no script. It is kept in predictions.reports, served by the API, and written
    to the report folder as fleet-<day>.html; fleet-latest.html is the newest. The same data give the same bytes.
    """
    metadata: dict[str, Any] = {}
    for as_of in as_of_days(context):
        metadata = make_report(runtime, as_of)
    return dg.MaterializeResult(metadata=metadata)


def make_report(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """Read, render, store and write the report as of a day; returns metadata."""
    facts = read_facts(runtime, as_of)
    page = render(facts)
    with runtime.database.transaction() as transaction:
        changed = transaction.execute("save_report", {"as_of": as_of, "html": page, "now": runtime.clock()})
    path = write_report(runtime.settings.report_folder, as_of, page)
    metadata: dict[str, Any] = {
        "report": dg.MetadataValue.path(str(path)),
        "open it": dg.MetadataValue.url(path.as_uri()),
        "as of": as_of.isoformat(),
        "changed": bool(changed),
        "size in kB": round(len(page.encode()) / 1000, 1),
        "sims": facts.figures["sims"],
        "open alerts": sum(row["alerts"] for row in facts.alert_counts),
    }
    figure = plot_fleet(facts)
    return metadata | ({"fleet": picture(figure)} if figure else {})


def read_facts(runtime: Runtime, as_of: date) -> FleetFacts:
    """Everything the page shows, from the database and the model that made the forecast. Nothing in it knows the clock."""
    probability = runtime.settings.exhaustion_probability
    day = {"as_of": as_of}
    with runtime.database.transaction() as transaction:
        forecast = transaction.row("report_forecast", day)
        model = transaction.row("report_model", {"scoring_id": forecast["scoring_id"]}) if forecast else None
        evaluated = transaction.row("alerts_evaluated_to")
        figures = transaction.row("report_key_figures", {**day, "probability": probability})
        data = transaction.row("report_data", {**day, "days": 30})
        assert figures is not None
        assert data is not None
        facts: dict[str, Any] = {
            "figures": figures,
            "states": _states(transaction, as_of),
            "data": data,
            "daily": transaction.frame("report_fleet_days", DAILY_SCHEMA, {**day, "days": SHOWN_DAYS}),
            "first_ends": transaction.frame("report_first_ends", ENDS_SCHEMA, {**day, "top": TOP}),
            "incidents": transaction.rows("report_incidents", {**day, "top": TOP}),
            "anomalies": transaction.rows("worst_anomalies", {**day, "top": TOP}),
            "silent": _silent(transaction, as_of),
            "top_consumers": _top_consumers(transaction, as_of),
            "alert_counts": transaction.rows("report_alert_counts", day),
            "alerts": transaction.rows("report_alerts", {**day, "kind": None, "top": TOP}),
            "alerts_as_of": evaluated["as_of"] if evaluated else None,
            "coverage": transaction.rows("report_coverage", {**day, "days": 30}),
            "quarantine": transaction.rows("report_quarantine", {"top": TOP_REASONS}),
            "poll_problems": [
                {**row, "problem": PROBLEMS.get(row["problem"], row["problem"])}
                for row in transaction.rows("poll_problems")
            ],
        }
    return FleetFacts(
        organization=runtime.settings.organization,
        as_of=as_of,
        note=runtime.data_note,
        probability=probability,
        forecast=forecast if model else None,
        futures=_futures(runtime, model, as_of) if model else None,
        model=model,
        **facts,
    )


def _futures(runtime: Runtime, model: Row, as_of: date) -> FloatArray:
    """Sampled futures of the fleet's sum, (samples, days) bytes, by the version that made the stored forecast."""
    saved = load_model(runtime, Version(model["model_version"], model["run_id"]))
    keys = sorted(row["sim_key"] for row in runtime.database.rows("sims_forecast", {"as_of": as_of}))
    total = np.zeros((PATH_SAMPLES, HORIZON))
    for start in range(0, len(keys), runtime.settings.block_sims):
        block = load_history(runtime.database, as_of, keys[start : start + runtime.settings.block_sims])
        forecast = predict(saved, block, as_of=as_of, horizon=HORIZON)
        for _, paths in forecast.path_blocks(PATH_SAMPLES):
            total += paths.sum(axis=0, dtype=np.float64)
    return total


def _states(transaction: Transaction, as_of: date) -> list[Row]:
    """state, sims: the states that SIMs are in as of the day."""
    rows = transaction.rows("state_counts", {"as_of": as_of, "days": 1})
    return sorted((row for row in rows if row["sims"]), key=lambda row: (-row["sims"], row["state"]))


def _silent(transaction: Transaction, as_of: date) -> list[Row]:
    """The longest silent SIMs with an open alert, each with its last active day, days silent and usual gap."""
    alerts = transaction.rows("report_alerts", {"as_of": as_of, "kind": "silent", "top": TOP})
    if not alerts:
        return []
    which = {"sim_keys": [row["sim_key"] for row in alerts], "as_of": as_of, "days": HISTORY_DAYS}
    habits = silence(transaction.frame("report_usage_of_sims", USAGE_SCHEMA, which), as_of=as_of)
    by_sim = {row["sim_key"]: row for row in habits.iter_rows(named=True)}
    unknown = {"last_active_day": None, "days_silent": None, "usual_gap_days": None}
    rows = [row | by_sim.get(row["sim_key"], unknown) for row in alerts]
    return sorted(rows, key=lambda row: (-(row["days_silent"] or 0), row["iccid"]))


def _top_consumers(transaction: Transaction, as_of: date) -> list[Row]:
    """The SIMs that used most in 30 days, each with its `days`: 30 daily volumes in bytes, a day without a row counting zero."""
    rows = transaction.rows("report_top_consumers", {"as_of": as_of, "days": 30, "top": TOP})
    which = {"sim_keys": [row["sim_key"] for row in rows], "as_of": as_of, "days": 30}
    usage = transaction.frame("report_usage_of_sims", USAGE_SCHEMA, which)
    place = {row["sim_key"]: index for index, row in enumerate(rows)}
    volumes = np.zeros((len(rows), 30), dtype=np.int64)
    for sim_key, day, volume in usage.iter_rows():
        volumes[place[sim_key], 29 - (as_of - day).days] = volume
    return [row | {"days": volumes[index].tolist()} for index, row in enumerate(rows)]


def render(facts: FleetFacts) -> str:
    """The page, as HTML text that needs nothing else. The same facts give the same text."""
    fleet = plot_fleet(facts)
    ends = plot_exhaustion(
        _plotted_ends(facts.first_ends), as_of=facts.as_of, labels=facts.first_ends["iccid"].to_list(), note=facts.note
    )
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            facts=facts,
            fleet_chart=_data_url(fleet) if fleet else None,
            ends_chart=_data_url(ends) if facts.first_ends.height else None,
            first_ends=facts.first_ends.to_dicts(),
            recent=[_recent(facts, days) for days in (7, 30)],
            outlook=[_outlook(facts, days) for days in (7, 30)],
            alerts_open=sum(row["alerts"] for row in facts.alert_counts),
            by_severity=_counted(facts.alert_counts, "severity"),
            by_kind=_counted(facts.alert_counts, "kind"),
            backtest=describe_backtest(facts.model["metrics"]) if facts.model else "",
        )
    )


def plot_fleet(facts: FleetFacts) -> "Figure | None":
    """The fleet's daily usage with the forecast fan; None without a forecast."""
    if facts.futures is None:
        return None
    known = facts.daily.filter(pl.col("day") >= facts.data["first_day"]) if facts.data["first_day"] else facts.daily
    figure = plot_fleet_forecast(known, facts.futures, as_of=facts.as_of, shown_days=SHOWN_DAYS, note=facts.note)
    figure.set_figheight(3.7)
    return figure


def describe_backtest(metrics: dict[str, float]) -> str:
    """How good a model was on days it had not seen, in a sentence for everyone.

    metrics  backtest figures by name: rmase (error over seasonal naive's), coverage_80 and coverage_95 (shares)
    """
    if not {"rmase", "coverage_80", "coverage_95"} <= metrics.keys():
        return "It could not be tested on past days yet: the history is too short."
    gain = round(100 * (1 - metrics["rmase"]))
    compared = f"{abs(gain)} % {'smaller' if gain > 0 else 'larger'} than" if gain else "as large as"
    covered = {level: round(100 * metrics[f"coverage_{level}"]) for level in (80, 95)}
    return (
        f"On past days it had not seen, its error was {compared} that of simply repeating last week; its 80 % interval held "
        f"the true value {covered[80]} % of the time, its 95 % interval {covered[95]} %."
    )


def write_report(folder: Path, as_of: date, page: str) -> Path:
    """Write fleet-<as_of>.html and, unless a later day is there, fleet-latest.html; each is old or new, never half."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"fleet-{as_of}.html"
    _replace(path, page)
    newest = max(folder.glob("fleet-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].html"))
    if newest == path:
        _replace(folder / "fleet-latest.html", page)
    return path


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would hide the page from a web server
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _plotted_ends(ends: pl.DataFrame) -> pl.DataFrame:
    """The frame that plot_exhaustion takes; a date known only by its expiry has no spread."""
    known = pl.col("status") != "not_enough_evidence"
    return ends.select(
        "status",
        "cause",
        pl.int_range(pl.len()).alias("sim_key"),
        pl.col("ends_on").alias("p50_date"),
        *(pl.when(known).then(name).otherwise("ends_on").alias(name) for name in ("p10_date", "p90_date")),
    )


def _recent(facts: FleetFacts, days: int) -> dict[str, Any]:
    """Bytes of the last `days` days, and of as many before: None where the history does not reach back so far."""
    volumes = facts.daily["bytes"]
    first = facts.data["first_day"]
    reaches = first is not None and first <= facts.as_of - timedelta(days=2 * days - 1)
    before = int(volumes[-2 * days : -days].sum()) if reaches else None
    return {"days": days, "bytes": int(volumes[-days:].sum()), "before": before}


def _outlook(facts: FleetFacts, days: int) -> dict[str, Any] | None:
    """Expected bytes of the next `days` days with the 80 % interval of their sum."""
    if facts.forecast is None or facts.futures is None:
        return None
    low, high = np.quantile(facts.futures[:, :days].sum(axis=1), (0.1, 0.9))
    return {"days": days, "expected": facts.forecast[f"expected_{days}"], "low": low, "high": high}


def _counted(rows: list[Row], by: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row[by]] = counts.get(row[by], 0) + row["alerts"]
    return counts


def _data_url(figure: "Figure") -> str:
    """The figure as an image of its own, made narrow so that its letters can be read on a telephone."""
    figure.set_figwidth(CHART_INCHES)
    return f"data:image/svg+xml;base64,{base64.b64encode(svg(figure).encode()).decode()}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,  # labels and messages are foreign text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"mb": _mb, "chance": _chance, "change": _change, "sparkline": _sparkline}
    return environment


def _mb(volume: float | None) -> str:
    """Bytes in MB, to about three figures."""
    if volume is None:
        return "unknown"
    megabytes = volume / BYTES_PER_MB
    digits = 0 if abs(megabytes) >= 100 else 1 if abs(megabytes) >= 10 else 2 if abs(megabytes) >= 1 else 3
    return f"{megabytes:,.{digits}f}"


def _chance(probability: float | None) -> str:
    """A probability from some hundred samples, in words that do not claim certainty."""
    if probability is None:
        return "unknown"
    if probability < 0.005:
        return "under 1 %"
    return "over 99 %" if probability >= 0.995 else f"{probability * 100:.0f} %"


def _change(volume: int, before: int | None) -> str:
    """A change in words, such as "+12 %"; no share of nothing."""
    return f"{(volume / before - 1) * 100:+.0f} %" if before else ""


def _sparkline(volumes: list[int], width: int = 90, height: int = 20) -> str:
    """The points of an SVG polyline through the volumes, the largest at the top."""
    largest = max(*volumes, 1)
    step = width / max(len(volumes) - 1, 1)
    return " ".join(f"{i * step:.1f},{height - volume / largest * height:.1f}" for i, volume in enumerate(volumes))
