"""Exhaustion of a fleet's SIMs, from their forecast, their quota and what the fleet's past says."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from ml.exhaustion.extrapolation import Extrapolation
from ml.exhaustion.model import Calibration, quota_exhaustion, sms_exhaustion
from ml.forecasting import Sampler
from ml.history import FloatArray

LEFT_SCHEMA = {"remaining": pl.Int64, "expires_on": pl.Date, "sms_remaining": pl.Int32}


@dataclass(frozen=True, eq=False)
class SharedContext:
    """What the fleet's past says about the dates of one as-of day: how use goes on, and how stated probabilities turned
    out.
    """

    extrapolation: Extrapolation
    calibration: Calibration | None

    def to_dict(self) -> dict[str, Any]:
        """The context as plain values and arrays."""
        extrapolation = {part.name: getattr(self.extrapolation, part.name) for part in fields(self.extrapolation)}
        return {"extrapolation": extrapolation, "achieved": self.calibration.achieved if self.calibration else None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SharedContext:
        """The context that `to_dict` gave."""
        achieved = values["achieved"]
        return cls(Extrapolation(**values["extrapolation"]), None if achieved is None else Calibration(achieved))


def exhaustion(
    forecast: Sampler,
    recent: FloatArray,
    facts: pl.DataFrame,
    as_of: date,
    *,
    context: SharedContext,
    samples: int,
    monthly_limit: float | None = None,
) -> pl.DataFrame:
    """Exhaustion of every forecast SIM, with the volume, messages and expiry day it rests on.

    recent   (sims, days) the bytes that the forecast knew of, up to `as_of`, NaN for unknown; the last eight weeks
             count
    facts    one row a SIM: sim_key, quota_left, topup, topup_at, used_this_month in bytes, expires_on, sms_remaining,
             sms_days, sms_messages, sms_squares
    samples  sampled futures a SIM
    """
    known = pl.DataFrame({"sim_key": forecast.sim_keys}, schema={"sim_key": pl.Int32}).join(
        facts, on="sim_key", how="left", maintain_order="left"
    )

    def column(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return known[name].cast(pl.Float64).fill_null(np.nan).to_numpy()

    expiry = (known["expires_on"] - as_of).dt.total_days().cast(pl.Float64).fill_null(np.nan).to_numpy()
    remaining, topup, topup_at = column("quota_left"), column("topup"), column("topup_at")
    used_this_month = column("used_this_month")
    blocks = [
        quota_exhaustion(
            paths,
            remaining[block],
            expiry[block],
            as_of=as_of,
            history_days=forecast.history_days[block],
            ever_used=forecast.ever_used[block],
            sim_keys=forecast.sim_keys[block],
            later=context.extrapolation.extrapolate(paths, recent[block]),
            step_days=context.extrapolation.step_days,
            calibration=context.calibration,
            topup=topup[block],
            topup_at=topup_at[block],
            monthly_limit=monthly_limit,
            used_this_month=used_this_month[block],
        ).frame
        for block, paths in forecast.path_blocks(samples)
    ]
    messages = sms_exhaustion(
        column("sms_remaining"),
        expiry,
        as_of=as_of,
        known_days=np.nan_to_num(column("sms_days")),
        messages=np.nan_to_num(column("sms_messages")),
        squares=np.nan_to_num(column("sms_squares")),
        sim_keys=forecast.sim_keys,
    )
    return pl.concat(
        [
            pl.concat(blocks),
            messages.drop("sim_key"),
            known.select(pl.col("quota_left").alias("remaining"), "expires_on", "sms_remaining"),
        ],
        how="horizontal",
    )


def with_expired(ends: pl.DataFrame, expired: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """With the SIMs for which 1NCE no longer answers because they expired: without a quota, there is nothing to
    forecast."""
    unsure = pl.col("status") == "not_enough_evidence"
    ends = ends.filter(~(unsure & pl.col("sim_key").is_in(expired["sim_key"].implode())))
    sure = [
        name for name in ends.columns if name in {f"{kind}{d}" for kind in ("p_", "sms_p_") for d in (7, 14, 30, 90)}
    ]
    rows = expired.join(ends, on="sim_key", how="anti").with_columns(
        pl.lit(as_of).alias("as_of"),
        pl.lit("expired").alias("status"),
        pl.lit("expired").alias("sms_status"),
        pl.lit("expiry").alias("cause"),
        *(pl.lit(1.0).alias(name) for name in sure),
    )
    return pl.concat([ends, rows], how="diagonal")
