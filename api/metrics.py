"""The figures of /metrics: the service's own counts, and those that the database keeps of every organization."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import monotonic, perf_counter
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.database import Store
from api.replica import OUTCOMES, Replica
from resources.errors import SimsightError

KEPT_SECONDS = 10.0  # for which what the database said is not asked again
ROUTE = "simsight.route"  # in a scope: the template of the route that answers past FastAPI
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
disable_created_metrics()  # type: ignore[no-untyped-call]  # when each counter was made: nobody asks
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Figure(NamedTuple):
    """How a figure of `ops.metrics()` is shown; label names what its label is, counter whether it only rises."""

    name: str
    help: str
    label: str = ""
    counter: bool = False


FIGURES = {
    "sims": Figure("simsight_sims", "SIMs that are known"),
    "pipeline_seen": Figure("simsight_pipeline_seen_timestamp_seconds", "When the pipeline's watch last looked"),
    "usage_newest": Figure("simsight_usage_newest_timestamp_seconds", "End of the newest usage day that is stored"),
    "once_budget": Figure("simsight_once_budget_requests_per_hour", "Requests an hour that the ingest may send 1NCE"),
    "checks_failed": Figure(
        "simsight_checks_failed", "Data checks whose last execution failed; blocking ones stop what follows", "blocking"
    ),
    "runs": Figure("simsight_runs_under_way", "Runs that wait or run", "job"),
    "run_oldest": Figure("simsight_run_oldest_timestamp_seconds", "Since when the oldest run is under way", "job"),
    "runs_failed": Figure("simsight_runs_failed_last_day", "Runs that failed within 24 hours", "job"),
    "ingest_finished": Figure(
        "simsight_ingest_finished_timestamp_seconds", "When the last whole pass over a call of 1NCE ended", "call"
    ),
    "daily_run": Figure("simsight_daily_run_timestamp_seconds", "When the last daily run made its report"),
    "report_as_of": Figure("simsight_report_as_of_timestamp_seconds", "As-of day of the newest fleet report"),
    "once_requests": Figure("simsight_once_requests_total", "Requests that were sent to 1NCE", counter=True),
    "once_retries": Figure("simsight_once_retries_total", "Requests to 1NCE that were repeated", counter=True),
    "once_throttled": Figure("simsight_once_throttled_total", "Answers 429 of 1NCE", counter=True),
    "once_reauthentications": Figure(
        "simsight_once_reauthentications_total", "Log-ins because 1NCE refused a token before its time", counter=True
    ),
    "once_breaker": Figure("simsight_once_breaker_open", "1 when the last ingest gave up because 1NCE did not answer"),
    "incidents": Figure("simsight_incidents_open", "Faults of the surroundings, such as a silent stream", "kind"),
    "stream_arrival": Figure("simsight_stream_arrival_timestamp_seconds", "When 1NCE's streams last brought something"),
    "stream_waiting": Figure("simsight_stream_batches_waiting", "Batches of stream records not processed yet"),
    "forecast_ratio": Figure(
        "simsight_forecast_error_ratio", "Error of the last three days' forecasts over that of repeating last week"
    ),
    "forecast_coverage": Figure(
        "simsight_forecast_coverage_ratio", "Share of the last three days' usage inside the forecasts' 80 % interval"
    ),
    "model_trained": Figure("simsight_model_trained_timestamp_seconds", "When a model was last trained", "model"),
    "alerts": Figure("simsight_alerts_open", "Alerts of SIMs and fleets that are not resolved", "severity"),
    "messages_undelivered": Figure(
        "simsight_messages_undelivered_last_day", "Messages given up, or maybe lost, made within 24 hours", "state"
    ),
    "message_oldest": Figure("simsight_message_oldest_timestamp_seconds", "Since when the oldest due message waits"),
    "channels_disabled": Figure("simsight_channels_disabled", "Channels that take no messages"),
    "quarantined": Figure("simsight_records_quarantined", "Records that broke a rule and wait for a good one"),
    "connections": Figure("simsight_database_connections", "Connections to the database server"),
    "connections_max": Figure("simsight_database_connections_max", "Connections that the server allows"),
    "database_bytes": Figure("simsight_database_bytes", "Size of the database"),
    "wal_archiving": Figure("simsight_wal_archiving", "1 when the server archives its write-ahead log"),
    "wal_archived": Figure("simsight_wal_archived_timestamp_seconds", "When a log file was last archived"),
    "wal_failed": Figure("simsight_wal_archive_failures_total", "Attempts to archive that failed", counter=True),
    "backup": Figure(
        "simsight_backup_timestamp_seconds", "When the last backup was finished; of kind none: when they began", "kind"
    ),
}


@dataclass(frozen=True)
class MetricsSettings:
    """Who may read /metrics, and what it tells beside the database's figures.

    token    that a reader shows; at least 32 characters
    folder   whose file system is measured
    clock    seconds that only rise
    """

    token: str
    folder: Path | None = None
    clock: Callable[[], float] = monotonic


class _Stored(Collector):
    """What the database says, asked for when it is read, and kept for some seconds."""

    def __init__(self, store: Store, settings: MetricsSettings, replica: Replica | None) -> None:
        self._store, self._folder, self._clock = store, settings.folder, settings.clock
        self._replica = replica
        self._kept: list[Metric] = []
        self._until = -1.0
        self._lock = Lock()

    def describe(self) -> Iterable[Metric]:
        return []  # nothing is asked when it is registered

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if self._clock() >= self._until:
                self._kept = self._asked()
                self._until = self._clock() + KEPT_SECONDS
            return self._kept

    def _asked(self) -> list[Metric]:
        up = GaugeMetricFamily("simsight_database_up", "1 when the database answers")
        try:
            rows = self._store.metrics()
        except SimsightError:
            rows = []
            up.add_metric([], 0)
        else:
            up.add_metric([], 1)
        families: dict[str, Metric] = {}
        for row in rows:
            figure = FIGURES.get(row["metric"])
            if figure is None:  # of a later version
                continue
            family = families.get(figure.name)
            labels = {"organization": row["organization"], figure.label: row["label"]}
            labels = {name: value for name, value in labels.items() if name and value is not None}
            if family is None:
                kind = CounterMetricFamily if figure.counter else GaugeMetricFamily
                family = families[figure.name] = kind(figure.name, figure.help, labels=list(labels))
            family.add_metric(list(labels.values()), row["value"])  # type: ignore[attr-defined]
        if self._folder is not None:
            disk = shutil.disk_usage(self._folder)
            for name, text, value in (
                ("simsight_disk_bytes", "Size of the file system of SIMSIGHT_HOME", disk.total),
                ("simsight_disk_free_bytes", "What is free of it", disk.free),
            ):
                families[name] = GaugeMetricFamily(name, text, value=value)
        return [up, *families.values(), *self._of_replica()]

    def _of_replica(self) -> Iterable[Metric]:
        if self._replica is None:
            return
        lag = self._store.lag_of(self._replica.settings.url)
        yield GaugeMetricFamily("simsight_replica_up", "1 when the replica answers and is one", value=lag is not None)
        if lag is not None:
            yield GaugeMetricFamily("simsight_replica_lag_seconds", "Seconds that the replica is behind", value=lag)
        answered = CounterMetricFamily(
            "simsight_replica_reads", "Reads by who answered: the replica, or the primary and why", labels=["outcome"]
        )
        for outcome in OUTCOMES:
            answered.add_metric([outcome], self._replica.outcomes[outcome])
        yield answered


class Metrics:
    """The figures of one application."""

    def __init__(self, store: Store, settings: MetricsSettings, replica: Replica | None = None) -> None:
        self.token = settings.token
        self._registry = CollectorRegistry(auto_describe=False)
        self.seconds = Histogram(
            "simsight_http_request_seconds",
            "From a request to the beginning of its answer, by route and class of its status",
            ["method", "route", "status"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self.under_way = Gauge("simsight_http_requests_under_way", "Requests under way", registry=self._registry)
        self.refused = Counter(
            "simsight_http_keys_refused", "Requests whose key was not accepted: 401", registry=self._registry
        )
        self.limited = Counter("simsight_http_requests_limited", "Requests above a limit: 429", registry=self._registry)
        self._registry.register(_Stored(store, settings, replica))
        self._children: dict[tuple[str, str, int], Histogram] = {}

    def text(self) -> bytes:
        """All figures in Prometheus' text format. Asks the database: call it in a thread."""
        return generate_latest(self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer that began `seconds` after its request."""
        which = (method if method in METHODS else OTHER, route, status // 100)
        child = self._children.get(which)
        if child is None:
            child = self._children[which] = self.seconds.labels(which[0], route, f"{which[2]}xx")
        child.observe(seconds)
        if status == 401:
            self.refused.inc()
        elif status == 429:
            self.limited.inc()


class Measured:
    """Measures every request on its way to an application: how long until its answer begins, and its status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, answered = perf_counter(), False

        async def noted(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start" and not answered:
                answered = True
                self._metrics.answered(scope["method"], route_of(scope), message["status"], perf_counter() - begun)
            await send(message)

        self._metrics.under_way.inc()
        try:
            await self._app(scope, receive, noted)
        finally:
            self._metrics.under_way.dec()


def route_of(scope: Scope) -> str:
    """The template of the route that answers: never a path, in which ICCIDs are."""
    if found := scope.get(ROUTE):
        return str(found)
    return str(getattr(scope.get("route"), "path", OTHER))
