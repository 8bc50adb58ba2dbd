"""How the time and the memory of a day grow with the fleet, from loading its usage to recommendations and alerts.

    python -m benchmarks.scale [--sims 1000 10000 100000] [--days 365] [--processes 2] [--database-url postgresql://...]

For each size a new database with the simulated fleet's usage (synthetic) and the steps of the daily run, by the code
that the pipeline runs, each in processes of its own. "load" copies a year's usage into the book. Usage is read,
features are made and rows are written within each step; the text of a step in blocks says what its plan, its blocks and
its writing took. Training is timed apart: it learns from at most 20,000 SIMs. Memory is that of the largest process.

Exponents are the slopes of a straight line through log(SIMs) and log(cost). Constant overhead is taken off before: what
the same steps cost a fleet of 200 SIMs, which is measured first (starting processes, importing, opening models and the
rows that every run writes). CPU seconds are those of our processes and of PostgreSQL's, where it runs on this machine.
On a machine with other work, only they say something of time. The last line is of the largest size; its exponent is
that of seconds by the clock.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from pydantic import SecretStr

from benchmarks.fleet import AS_OF, FORKSERVER, Cost, Server, _alone, _in_blocks, _train_churn, fill, timed
from benchmarks.ingest import _text, server
from pipelines.executors import PRELOADED
from resources.database.migrations import ensure_organization, migrate
from resources.runtime import Runtime
from resources.settings import Settings
from services.alerts.builtin import evaluate_alerts
from services.anomalies.detection import train as train_detector
from services.forecasting import train as train_forecaster
from services.lifecycle import evaluate_lifecycle

SMALL = 200
Step = Callable[[Runtime, date], object]
TRAINING: dict[str, Step] = {"forecaster": train_forecaster, "detector": train_detector, "churn model": _train_churn}
# a part in blocks has no function; alerts read what all others wrote
DAY: dict[str, Step | None] = {
    "forecasts": None,
    "exhaustion dates": None,
    "lifecycle": evaluate_lifecycle,
    "anomalies": None,
    "churn risks": None,
    "recommendations for quotas": None,
    "alerts": evaluate_alerts,
}


def measured(sims: int, days: int, processes: int, database_url: str | None) -> dict[str, Cost]:
    """What each step of the day costs a fleet of a size."""
    with server(database_url) as url, tempfile.TemporaryDirectory() as home:
        migrate(url)
        ensure_organization(url, "default")
        settings = Settings(
            home=Path(home),
            now=datetime(AS_OF.year, AS_OF.month, AS_OF.day, 3, tzinfo=UTC) + timedelta(days=2),
            database_url=SecretStr(_text(url)),
            mlflow_tracking_uri=SecretStr(f"sqlite:///{home}/mlflow.db"),
            _env_file=None,
        )
        postgres = Server(url)

        def cost_of(what: str, step: Callable[[], tuple[str, Cost]]) -> Cost:
            return timed(postgres, f"{sims} SIMs, {what}", step)

        def load() -> tuple[str, Cost]:
            began = time.process_time()
            with psycopg.connect(_text(url), autocommit=True) as connection:
                fill(connection, sims, days)
            return "", Cost(cpu=time.process_time() - began)

        costs = {"load": cost_of("load", load)}
        for what, train in TRAINING.items():
            cost_of(f"training of the {what}", partial(_alone, settings, train))
        for what, step in DAY.items():
            if step is None:
                costs[what] = cost_of(what, partial(_in_blocks, settings, what, processes))
            else:
                costs[what] = cost_of(what, partial(_alone, settings, step))
        return costs


def exponent(sizes: list[int], costs: list[float], overhead: float) -> float:
    """The slope of log(cost without overhead) over log(size); nan where a cost does not exceed the overhead."""
    own = np.array(costs) - overhead
    if len(sizes) < 2 or (own <= 0).any():
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(own), 1)[0])


def _said(what: str, sizes: list[int], costs: list[Cost], small: Cost) -> str:
    """A row of the table: seconds, CPU seconds and MB by size, and the exponents of the three."""
    slopes = (
        exponent(sizes, [getattr(cost, name) for cost in costs], getattr(small, name))
        for name in ("seconds", "cpu", "held")
    )
    cells: list[Any] = [what, *(f"{cost.seconds:.0f} s, {cost.cpu:.0f} CPU s, {cost.held:.0f} MB" for cost in costs)]
    return f"| {' | '.join([*cells, *(f'{slope:.2f}' for slope in slopes)])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="e.g. 100000 1000000")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--database-url", help="a server where databases can be made")
    given = parser.parse_args()
    FORKSERVER.set_forkserver_preload(PRELOADED)
    sizes = sorted(given.sims)
    small, *rest = (measured(sims, given.days, given.processes, given.database_url) for sims in (SMALL, *sizes))
    print(f"\n| step | {' | '.join(f'{sims} SIMs' for sims in sizes)} | exponent of seconds | of CPU | of memory |")
    print(f"| {' | '.join(['---'] * (len(sizes) + 4))} |")
    for what in small:
        print(_said(what, sizes, [costs[what] for costs in rest], small[what]))
    days = [sum(costs.values(), Cost()) for costs in rest]
    overhead = sum(small.values(), Cost())
    print(_said("the day", sizes, days, overhead))
    slope = exponent(sizes, [day.seconds for day in days], overhead.seconds)
    print(
        f"scale sims={sizes[-1]} minutes={days[-1].seconds / 60:.1f} peak_gb={days[-1].held / 1024:.2f} "
        f"exponent={slope:.2f}"
    )


if __name__ == "__main__":
    main()
