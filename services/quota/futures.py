"""What decisions on quotas rest on: what each device would use in the months ahead, and what its SIM has left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.exhaustion.extrapolation import Extrapolation
from ml.forecasting import ForecastModel
from ml.history import FloatArray, IntArray, dense, known_days
from ml.quota.actions import Sims
from ml.quota.use import monthly_use, with_churn
from resources.database.session import Database
from resources.runtime import Runtime
from services.inputs import LAST_KEY, NoUsageError, load_history, load_quotas
from services.outlooks import Outlook, load_outlook, outlook_of, usage_hashes
from services.scoring import Block

# so many futures a SIM say enough for a decision
SAMPLES = 100
MONTHS_AHEAD = 12
RECENT_DAYS = 60
# a device whose SIM expired longer ago is taken to have found another
EXPIRED_DAYS = 90
OUT_SCHEMA = {"sim_key": pl.Int32, "out_from": pl.Date, "out_to": pl.Date}
TOPUP_SCHEMA = {"sim_key": pl.Int32, "topup": pl.Int64, "topup_at": pl.Int64}
NAMES_SCHEMA = {"sim_key": pl.Int32, "iccid": pl.String, "label": pl.String}
RISK_SCHEMA = {"sim_key": pl.Int32, "risk": pl.Float64}


@dataclass(frozen=True, eq=False)
class Terms:
    """What is known of SIMs of neighbouring keys as of a day, beside their usage.

    quotas   TOPUP_SCHEMA and QUOTA_SCHEMA of services.inputs, with `expired`; one row a SIM
    out      OUT_SCHEMA: stretches without volume, by events and orders
    names    NAMES_SCHEMA
    risks    RISK_SCHEMA
    """

    as_of: date
    quotas: pl.DataFrame
    out: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=OUT_SCHEMA))
    names: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=NAMES_SCHEMA))
    risks: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RISK_SCHEMA))


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of SIMs as of a day.

    history  usage with the days on which a SIM could send nothing as unknown (bytes null)
    """

    terms: Terms
    history: pl.DataFrame

    @property
    def as_of(self) -> date:
        """The day."""
        return self.terms.as_of


def load_known(
    database: Database, as_of: date, first_key: int = 0, last_key: int = LAST_KEY, *, only: list[int] | None = None
) -> Known | None:
    """What is known of SIMs, or of those in `only`, up to the end of a day; None where they have no usage."""
    terms = load_terms(database, as_of, first_key, last_key)
    if only is not None:
        terms = replace(terms, names=terms.names.filter(pl.col("sim_key").is_in(only)))
    try:
        history = load_history(database, as_of, terms.names["sim_key"].to_list())
    except NoUsageError:
        return None
    return Known(terms, with_days_out(history, terms.out, terms.quotas, as_of))


def load_terms(database: Database, as_of: date, first_key: int, last_key: int) -> Terms:
    """What is known of SIMs beside their usage, up to the end of a day."""
    which = {"as_of": as_of, "first_key": first_key, "last_key": last_key}
    names = database.frame("labels_of_sims", NAMES_SCHEMA, which)
    quotas = load_quotas(database, as_of, first_key, last_key)
    expired = database.frame("expired_sims", {"sim_key": pl.Int32}, which).with_columns(expired=pl.lit(True))
    topups = database.frame("topups[topup_habit]", TOPUP_SCHEMA, which)
    quotas = (
        topups.join(quotas, on="sim_key", how="left", maintain_order="left")
        .join(expired, on="sim_key", how="left", maintain_order="left")
        .with_columns(pl.col("expired").fill_null(False))
    )
    out = database.frame("days_out", OUT_SCHEMA, which)
    risks = churn_risks(database, as_of, first_key, last_key)
    return Terms(as_of, quotas, out, names, risks)


def load_outlook_of_terms(runtime: Runtime, block: Block, model: ForecastModel, terms: Terms) -> Outlook | None:
    """The outlook of a block of SIMs, as if the days on which one could send nothing were unknown; None where they have
    no usage. Only of SIMs that may have such days is the history read.
    """
    inputs = usage_hashes(runtime, block)
    if inputs.is_empty():
        return None
    spent = terms.quotas.filter((pl.col("quota_left") <= 0) | _gone(block.as_of))
    without = set(terms.out["sim_key"]) | set(spent["sim_key"])
    keys = inputs.filter(pl.col("sim_key").is_in(list(without)))["sim_key"].to_list()
    if not keys:
        return load_outlook(runtime, block, model, inputs)
    history = load_history(runtime.database, block.as_of, keys)
    changed = with_days_out(history, terms.out, terms.quotas, block.as_of)
    return load_outlook(runtime, block, model, inputs, changed)


def _gone(as_of: date) -> pl.Expr:
    """Whether a SIM expired so lately that its device is taken to wait."""
    return pl.col("expires_on").is_between(as_of - timedelta(days=EXPIRED_DAYS), as_of)


def with_days_out(history: pl.DataFrame, out: pl.DataFrame, quotas: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The history with null bytes on days without use on which a SIM had no volume, or had just expired.

    out     stretches without volume by events and orders (OUT_SCHEMA)
    quotas  sim_key, quota_left, expires_on: who has nothing left now, or has expired, is out since its last use
    """
    last = history.filter(pl.col("bytes") > 0).group_by("sim_key").agg(last=pl.col("day").max())
    now = quotas.join(last, on="sim_key").filter((pl.col("quota_left") <= 0) | _gone(as_of))
    begins = pl.col("last") + pl.duration(days=1)
    spent = pl.when(pl.col("quota_left") <= 0).then(begins).otherwise(pl.max_horizontal(begins, "expires_on"))
    since = now.select("sim_key", out_from=spent, out_to=pl.lit(as_of)).filter(pl.col("out_from") <= as_of)
    stretches = pl.concat([out, since])
    if stretches.is_empty():
        return history
    days = (
        stretches.select("sim_key", pl.date_ranges("out_from", "out_to").alias("day"))
        .explode("day")
        .unique()
        .join(history.filter(pl.col("bytes") > 0), on=["sim_key", "day"], how="anti")
        .join(history.group_by("sim_key").agg(first=pl.col("day").min()), on="sim_key")
        .filter(pl.col("day") > pl.col("first"))
        .select("sim_key", "day")
    )
    kept = history.join(days, on=["sim_key", "day"], how="anti")
    return pl.concat([kept, days], how="diagonal").sort("sim_key", "day")


def churn_risks(database: Database, as_of: date, first_key: int, last_key: int) -> pl.DataFrame:
    """Probability of each SIM's device to send no more within 90 days (RISK_SCHEMA); a SIM without a row is unknown."""
    which = {"as_of": as_of, "first_key": first_key, "last_key": last_key}
    return database.frame("churn_risks_of_sims", RISK_SCHEMA, which)


@dataclass(frozen=True, eq=False)
class Futures:
    """Some hundred SIMs with their futures.

    use        (sims, SAMPLES, MONTHS_AHEAD) bytes
    idle_days  (sims,) known days since the last use, or since the SIM is known
    """

    sims: Sims
    use: FloatArray
    idle_days: npt.NDArray[np.int64]


def futures(known: Known, model: ForecastModel, extrapolation: Extrapolation) -> Iterator[Futures]:
    """The futures of all SIMs, in the order of their keys, some hundred at a time: memory stays small."""
    return futures_ahead(known.terms, outlook_of(model, known.history, known.as_of), extrapolation)


def futures_ahead(terms: Terms, outlook: Outlook, extrapolation: Extrapolation) -> Iterator[Futures]:
    """The same of SIMs whose outlook is known."""
    ahead, recent = outlook.ahead, outlook.recent
    sims = _sims(terms, ahead.sim_keys, _active_share(outlook.used_days, ahead.history_days, recent))
    keys = pl.DataFrame({"sim_key": ahead.sim_keys}, schema={"sim_key": pl.Int32})
    risk = keys.join(terms.risks, on="sim_key", how="left", maintain_order="left")["risk"].fill_null(np.nan).to_numpy()
    for block, paths in ahead.path_blocks(SAMPLES):
        later = extrapolation.extrapolate(paths, recent[block])
        use = monthly_use(paths, later, extrapolation.step_days, months=MONTHS_AHEAD)
        yield Futures(sims.take(block), with_churn(use, risk[block]), outlook.idle_days[block])


def sims_of(known: Known, sim_keys: npt.NDArray[np.int64]) -> Sims:
    """What is known of some SIMs beside their futures; those without usage send on no day."""
    panel = dense(known.history, as_of=known.as_of)
    values = np.zeros((sim_keys.size, panel.values.shape[1]))
    found = np.isin(sim_keys, panel.sim_keys)
    values[found] = panel.values[np.searchsorted(panel.sim_keys, sim_keys[found])]
    return _sims(known.terms, sim_keys, _active_share((values > 0).sum(axis=1), known_days(values), values))


def _active_share(used_days: IntArray, days: IntArray, values: FloatArray) -> FloatArray:
    """Share of days with use among the known ones of the last RECENT_DAYS of values (sims, days); where none is, of all
    its `days` known days."""
    recent = values[:, -RECENT_DAYS:]
    seen = known_days(recent)
    of_all, of_recent = used_days / np.maximum(days, 1), (recent > 0).sum(axis=1) / np.maximum(seen, 1)
    return np.where(seen == 0, of_all, of_recent)


def _sims(terms: Terms, sim_keys: npt.NDArray[np.int64], active_share: FloatArray) -> Sims:
    rows = pl.DataFrame({"sim_key": sim_keys}, schema={"sim_key": pl.Int32}).join(
        terms.quotas, on="sim_key", how="left", maintain_order="left"
    )

    def column(name: str) -> FloatArray:
        return np.asarray(rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy(), dtype=np.float64)

    expired = rows["expired"].fill_null(False).to_numpy()
    expiry = (rows["expires_on"] - terms.as_of).dt.total_days().cast(pl.Float64).fill_null(np.nan).to_numpy()
    return Sims(
        sim_keys,
        # 1NCE says nothing of an expired SIM: it has nothing left
        np.where(expired & np.isnan(column("quota_left")), 0.0, column("quota_left")),
        np.where(expired, np.fmin(expiry, 0.0), expiry),
        ~np.isnan(column("topup")),
        active_share,
        column("topup_at"),
    )
