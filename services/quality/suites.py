"""The suites that validate stored data, each over the rows of one query."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from resources.once.event_types import KINDS
from resources.runtime import Runtime
from services.ingest.ingest_run import poll_budget
from services.ingest.poll_planner import fleet_cost
from services.ingest.schemas import UTC_TIME
from services.quality.source_gaps import GAPS_SCHEMA, source_gaps

Expectations = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Suite:
    """A suite over the rows of one query: the expectations by the names Great Expectations gives them.

    The arguments' values may use the names today, complete (the last complete day) and now, as callables of the
    runtime.
    """

    name: str
    asset: str
    description: str
    when_red: str  # what a person is to do then, in a sentence or two
    query: str
    schema: dict[str, Any]
    expectations: Callable[[Runtime], Expectations]
    unit: str = ""  # what a row is, in plural; empty where the one row holds figures, which are shown in its stead
    blocking: bool = False
    parameters: Callable[[Runtime], dict[str, Any]] = field(default=lambda runtime: {})
    shown: bool = False  # with its rows as a table in the Dagster UI: for few rows
    empty: Callable[[Runtime], str] | None = None  # what to say where there is no row, if not that there is none
    rows: Callable[[Runtime], pl.DataFrame] | None = None  # of rows that one query cannot give; `query` is then unused

    def looked_at(self, frame: pl.DataFrame) -> dict[str, Any]:
        """What the suite was held against, for people: how many things of which kind, or the figures themselves."""
        if self.unit:
            return {f"{self.unit} checked": frame.height}
        return frame.row(0, named=True) if frame.height else {}

    def frame(self, runtime: Runtime) -> pl.DataFrame:
        """The rows to be held against the expectations."""
        if self.rows is not None:
            return self.rows(runtime)
        return runtime.database.frame(self.query, self.schema, self.parameters(runtime))


def _between(column: str, low: Any = None, high: Any = None, **more: Any) -> tuple[str, dict[str, Any]]:
    return "ExpectColumnValuesToBeBetween", {"column": column, "min_value": low, "max_value": high, **more}


def _filled(column: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "ExpectColumnValuesToNotBeNull", {"column": column, **more}


def _one_of(column: str, *values: str) -> tuple[str, dict[str, Any]]:
    return "ExpectColumnValuesToBeInSet", {"column": column, "value_set": list(values)}


def _rows(low: int) -> tuple[str, dict[str, Any]]:
    return "ExpectTableRowCountToBeBetween", {"min_value": low}


def _no_sim(runtime: Runtime) -> str:
    settings = runtime.settings
    if settings.once_username is None:
        return "there is no SIM yet: set ONCE_USERNAME and ONCE_PASSWORD and run `simsight ingest`, or import a file"
    return (
        f"the 1NCE account of {settings.once_username} at {settings.once_base_url} has no SIM yet: order SIMs, or set "
        "ONCE_USERNAME to a user of the account that has them, and run `simsight ingest` again"
    )


def _no_quota(runtime: Runtime) -> str:
    if runtime.settings.once_username is None:
        return (
            "no data quota is known, and files hold none: set ONCE_USERNAME and ONCE_PASSWORD and run `simsight "
            "ingest`. Until then usage from files can be read, asked for and exported, and nothing is predicted"
        )
    return "no data quota is known: run `simsight ingest` again, and read `simsight status`"


def _tomorrow(runtime: Runtime) -> datetime:
    return runtime.clock().replace(tzinfo=None) + timedelta(days=1)


def _since(days: int) -> Callable[[Runtime], dict[str, Any]]:
    return lambda runtime: {
        "first": runtime.last_complete_day() - timedelta(days=days - 1),
        "last": runtime.last_complete_day(),
    }


def _event_types(*, streamed: bool) -> Callable[[Runtime], dict[str, Any]]:
    return lambda runtime: {**_since(7)(runtime), "known": sorted(KINDS), "streamed": streamed}


def _events_are_known(asset: str, *, streamed: bool) -> Suite:
    return Suite(
        "events_are_known",
        asset,
        "Every type of event of the last week is one that the pipeline understands; the others are kept and listed "
        "here, the most frequent ones first.",
        "Look what the types listed mean in 1NCE's documentation, and report them so that Simsight learns them; "
        "nothing is lost until then.",
        "check_known_events",
        {"event_type": pl.String, "events": pl.Int64, "of_all_unknown": pl.Int64},
        lambda runtime: [("ExpectColumnValuesToBeNull", {"column": "event_type"})],
        parameters=_event_types(streamed=streamed),
        shown=True,
        unit="unknown types",
    )


def _promised(runtime: Runtime) -> dict[str, Any]:
    """The last three days that should be known of nearly every SIM; a day less where an hourly run cannot ask all."""
    budget = poll_budget(runtime)
    size = runtime.database.row("fleet_size") or {"sims": 0, "usage_calls": 0}
    usage_calls = 0 if runtime.settings.once_api == "v2" else size["usage_calls"]
    over = budget is not None and fleet_cost(size["sims"], usage_calls) > budget
    last = runtime.last_complete_day() - timedelta(days=int(over))
    return {"first": last - timedelta(days=2), "last": last}


SUITES = [
    Suite(
        "sims_are_sound",
        "sims",
        "There are SIMs; each has one ICCID of 19 digits, a known status, and was not activated in the future.",
        "Correct the SIMs that are named at 1NCE or in the file they came from, then run `simsight ingest` again; "
        "predictions wait until then.",
        "check_sims",
        {"iccid": pl.String, "imei": pl.String, "status": pl.String, "activated_at": UTC_TIME},
        lambda runtime: [
            _rows(1),
            ("ExpectColumnValuesToBeUnique", {"column": "iccid"}),
            ("ExpectColumnValuesToMatchRegex", {"column": "iccid", "regex": r"^[0-9]{19}$"}),
            _one_of("status", "Enabled", "Disabled"),
            _between("activated_at", high=_tomorrow(runtime)),
        ],
        blocking=True,
        empty=_no_sim,
        unit="SIMs",
    ),
    Suite(
        "devices_are_known",
        "sims",
        "Nearly every SIM has an IMEI: without it, SIMs of one device type cannot be told from others.",
        "See whether SIMs without an IMEI were ever online; where they were, ask 1NCE why it does not tell the device.",
        "check_sims",
        {"iccid": pl.String, "imei": pl.String, "status": pl.String, "activated_at": UTC_TIME},
        lambda runtime: [_filled("imei", mostly=0.9)],
        unit="SIMs",
    ),
    Suite(
        "usage_is_complete",
        "usage_history",
        "Usage of the last complete days has been asked for nearly every SIM that was active, and some came on "
        "each day.",
        "Run `simsight ingest` again, and read `simsight status` for SIMs without an answer; predictions wait "
        "until the days are there.",
        "check_usage_days",
        {"day": pl.Date, "sims": pl.Int64, "asked": pl.Int64, "covered": pl.Float64, "bytes": pl.Int64},
        lambda runtime: [
            _rows(1),
            _between("covered", low=0.9),
            _between("bytes", low=0),
        ],
        blocking=True,
        parameters=_promised,
        unit="days",
    ),
    Suite(
        "no_day_drops_out",
        "usage_book",
        "No day of the last four weeks has less than half the reporting SIMs of the median day: that would be an "
        "outage.",
        "Look at the run of that day and at 1NCE's status page; once 1NCE has the day, run `simsight ingest` for it "
        "(--from, --to) again, and leave it as it is where the devices really were silent.",
        "check_usage_share",
        {"day": pl.Date, "sims": pl.Int64, "share_of_median": pl.Float64},
        lambda runtime: [_rows(1), _between("share_of_median", low=0.5)],
        parameters=_since(28),
        unit="days",
    ),
    Suite(
        "little_in_quarantine",
        "sim_usage",
        "At most one in a thousand usage rows is in quarantine (`simsight status` counts them, `ingest --replay` "
        "retries).",
        "Read the reasons in ops.quarantine, correct the source, then run `simsight ingest --replay`.",
        "check_quarantine",
        {"pending": pl.Int64, "rows": pl.Int64, "share": pl.Float64},
        lambda runtime: [_between("share", high=0.001)],
    ),
    Suite(
        "stream_agrees_with_book",
        "stream_records",
        "On each complete day of the last week the Data Streamer's volume is within half a percent of that in the "
        "system of record, over the SIMs it covers.",
        "Compare the days listed; on a day with too little, see whether the Data Streamer delivered "
        "(ops.incidents), and ask 1NCE where it did.",
        "check_stream",
        {
            "day": pl.Date,
            "sims": pl.Int64,
            "stream_bytes": pl.Int64,
            "book_bytes": pl.Int64,
            "difference": pl.Float64,
        },
        lambda runtime: [_between("difference", high=0.005)],
        parameters=_since(7),
        shown=True,
        unit="days",
    ),
    Suite(
        "usage_sources_agree",
        "usage_book",
        "Where two sources tell the usage of the last 30 complete days, they are within 1 % for the fleet, and no SIM "
        "is apart by more than 5 % and 1 MB. Sources are never added, and a gap blocks nothing.",
        "Look at the SIM named as farthest apart: a gap that grows speaks of lost stream records or of a quota "
        "that was filled up unseen. Ask 1NCE which one it bills.",
        "",
        GAPS_SCHEMA,
        lambda runtime: [_between("gap", high=0.01), _between("sims_apart", high=0)],
        shown=True,
        rows=source_gaps,
        unit="pairs of sources",
    ),
    Suite(
        "quotas_are_sound",
        "sim_quota",
        "Nearly every SIM that answers has a data quota seen in the last two days, and no quota is larger than a "
        "terabyte.",
        "Run `simsight ingest` again; where a quota stays old or too large, look at the SIM in 1NCE's portal. "
        "Dates of exhaustion wait until then.",
        "check_quotas",
        {"sim_key": pl.Int32, "seen_on": pl.Date, "amount_left": pl.Int64, "amount_total": pl.Int64},
        lambda runtime: [
            _rows(1),
            _between("amount_left", high=10**12),
            _between("amount_total", low=0, high=10**12),
            _between("seen_on", low=runtime.clock().date() - timedelta(days=2), mostly=0.9),
        ],
        blocking=True,
        empty=_no_quota,
        unit="quotas",
    ),
    Suite(
        "every_sim_has_a_state",
        "sim_lifecycle",
        "Every SIM that was listed by the last evaluated day has a state, and the counts by state add up to the fleet.",
        "Materialize sim_lifecycle for the day again; if it stays red, report it as a fault of Simsight.",
        "check_lifecycle",
        {"sims": pl.Int64, "without_state": pl.Int64, "difference": pl.Int64},
        lambda runtime: [_between("without_state", high=0), _between("difference", low=0, high=0)],
    ),
    Suite(
        "status_is_fresh",
        "sim_connectivity",
        "The connectivity of nearly every SIM was seen in the last two days.",
        "Run `simsight ingest` again; if it stays red, `simsight doctor` says whether 1NCE answers for the status.",
        "check_connectivity",
        {"sim_key": pl.Int32, "seen_on": pl.Date, "status": pl.String},
        lambda runtime: [
            _rows(1),
            _one_of("status", "OFFLINE", "ATTACHED", "ONLINE", "BLOCKED"),
            _between("seen_on", low=runtime.clock().date() - timedelta(days=2), mostly=0.9),
        ],
        unit="SIMs",
    ),
    Suite(
        "events_are_sound",
        "sim_events",
        "No event of the last month lies in the future, and each severity is a known one.",
        "See whether the clock of this machine is right, then look at the source of the events named; they are "
        "kept as they came.",
        "check_events",
        {"occurred_on": pl.Date, "severity": pl.String, "events": pl.Int64},
        lambda runtime: [
            _between("occurred_on", high=runtime.clock().date()),
            # free text in 1NCE's file, with the example "Info"
            (
                "ExpectColumnValuesToMatchRegex",
                {"column": "severity", "regex": r"(?i)^(?:info|warn|warning|critical)$"},
            ),
        ],
        parameters=_since(31),
        unit="days and severities",
    ),
    _events_are_known("sim_events", streamed=False),
    _events_are_known("stream_records", streamed=True),
    Suite(
        "sms_are_sound",
        "sim_sms",
        "Every SMS has a direction and was submitted.",
        "Look at the SMS in raw.landings: 1NCE may have changed its answer. Report it; the SMS are kept.",
        "check_sms",
        {"direction": pl.String, "submitted_at": UTC_TIME},
        lambda runtime: [
            _filled("direction"),
            _filled("submitted_at", mostly=0.99),
            _between("submitted_at", high=_tomorrow(runtime)),
        ],
        unit="SMS",
    ),
    Suite(
        "prices_are_sound",
        "products",
        "There are products with prices that are not negative, in a known currency.",
        "Run `simsight ingest` again; if it stays red, compare with the products in 1NCE's portal, and do not rely "
        "on costs in the report.",
        "check_products",
        {"name": pl.String, "one_time_minor": pl.Int64, "currency": pl.String},
        lambda runtime: [_rows(1), _between("one_time_minor", low=0), _filled("currency", mostly=0.5)],
        unit="products",
    ),
    Suite(
        "orders_are_sound",
        "orders",
        "Every order has a known type, a date and an amount that is not negative.",
        "Compare the orders named with 1NCE's portal; a new type of order is to be reported, and is kept.",
        "check_orders",
        {"order_type": pl.String, "ordered_at": UTC_TIME, "invoice_minor": pl.Int64},
        lambda runtime: [
            _one_of("order_type", "FIRST_ORDER", "ADDITIONAL_ORDER", "TOPUP", "BULK_TOPUP", "TARIFF_CHANGE"),
            _filled("ordered_at"),
            _between("invoice_minor", low=0),
        ],
        unit="orders",
    ),
    Suite(
        "tickets_are_sound",
        "tickets",
        "Every support request has a status, a subject and a date.",
        "Compare the support requests named with 1NCE's portal; a new status is to be reported, and is kept.",
        "check_tickets",
        {"status": pl.String, "subject": pl.String, "created_at": UTC_TIME},
        lambda runtime: [
            _one_of("status", "OPEN", "IN_PROGRESS", "CLOSED"),
            _filled("subject", mostly=0.95),
            _filled("created_at"),
        ],
        unit="tickets",
    ),
]
