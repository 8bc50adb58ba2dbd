"""What the day's predictions of a SIM have in common: its forecast, and what of its past they look at.

Forecasts come first. What they rest on is staged for the predictions of the same run that follow, and taken from there
where a SIM's data and the version are still the same: the history is read and the forecast computed once. Where nothing
is staged it is computed anew, with the same outcome, since a forecast depends on the model and the SIM's own history
alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from ml.forecasting import ForecastModel, Sampler, sampler
from ml.history import FloatArray, IntArray, Panel, dense
from resources.runtime import Runtime
from services.inputs import HISTORY_DAYS, HORIZON, UNKNOWN_SCHEMA, load_history
from services.packing import unpack
from services.scoring import Block, stage_value

FORECASTS = "usage_forecasts"
# as far back as the plain rules for quotas look
RECENT_DAYS = 90
# what a SIM's history is: a hash of what is stored, and since when nobody knows of it
HASH_SCHEMA = {"sim_key": pl.Int32, "usage_hash": pl.Int64}
STATE = ["sim_key", "usage_hash", "unknown_from"]


@dataclass(frozen=True, eq=False)
class Outlook:
    """The futures of SIMs, and their past as far as predictions look at it beside the forecast; one value a SIM.

    ahead      draws the futures
    recent     (sims, RECENT_DAYS) bytes up to the as-of day; NaN before a SIM's first record and where nobody knows
    span       days from its first usable record to the as-of day, both included
    used_days  known days with use
    idle_days  known days since the last use, or since the SIM is known
    """

    ahead: Sampler
    recent: FloatArray
    span: IntArray
    used_days: IntArray
    idle_days: IntArray

    @classmethod
    def of(cls, panel: Panel, ahead: Sampler) -> Outlook:
        """The outlook of the SIMs of a panel, of which `ahead` draws the futures."""
        values = panel.values
        recent = np.full((len(values), RECENT_DAYS), np.nan)
        width = min(values.shape[1], RECENT_DAYS)
        recent[:, RECENT_DAYS - width :] = values[:, values.shape[1] - width :]
        used = values > 0
        since = np.argmax(used[:, ::-1], axis=1) if width else np.zeros(len(values), np.int64)
        idle = np.where(used.any(axis=1), since, ahead.history_days)
        return cls(ahead, recent, panel.span, used.sum(axis=1), idle)

    def to_frame(self) -> pl.DataFrame:
        """One row a SIM: sim_key, and all that is not the model's."""
        ahead = self.ahead
        return pl.DataFrame(
            {
                "sim_key": pl.Series(ahead.sim_keys).cast(pl.Int32),
                **{name: getattr(ahead, name) for name in ("segments", "history_days", "centre", "scale")},
                **{name: getattr(self, name) for name in ("recent", "span", "used_days", "idle_days")},
            }
        )

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, model: ForecastModel) -> Outlook:
        """The outlook that `to_frame` gave, by the model that forecast it."""

        def column(name: str) -> Any:
            return frame[name].to_numpy()

        keys = column("sim_key").astype(np.int64)
        arrays = {name: column(name) for name in ("segments", "history_days", "centre", "scale")}
        ahead = Sampler(keys, **arrays, templates=model.templates, seed=model.seed)
        return cls(ahead, *(column(name) for name in ("recent", "span", "used_days", "idle_days")))

    def recent_history(self, as_of: date) -> pl.DataFrame:
        """The last RECENT_DAYS days as a usage history, with one idle day before them of SIMs that are known longer."""
        keys = self.ahead.sim_keys
        back = np.arange(RECENT_DAYS)[::-1]
        sim, place = np.nonzero(back < self.span[:, None])
        longer = np.flatnonzero(self.span > RECENT_DAYS)
        volume = np.concatenate([self.recent[sim, place], np.zeros(longer.size)])
        back = np.concatenate([back[place], np.full(longer.size, RECENT_DAYS)])
        return pl.DataFrame(
            {
                "sim_key": pl.Series(keys[np.concatenate([sim, longer])]).cast(pl.Int32),
                "day": as_of - pl.Series(back) * timedelta(days=1),
                "bytes": pl.Series(volume).fill_nan(None).cast(pl.Int64),
            }
        )


def outlook_of(model: ForecastModel, history: pl.DataFrame, as_of: date) -> Outlook:
    """The outlook of the SIMs of a usage history."""
    panel = dense(history, as_of=as_of)
    return Outlook.of(panel, sampler(model, panel, horizon=HORIZON))


def usage_hashes(runtime: Runtime, block: Block) -> pl.DataFrame:
    """The SIMs of a block that have usage, with a hash of it (HASH_SCHEMA)."""
    return runtime.database.frame("usage_hashes", HASH_SCHEMA, block.range | {"days": HISTORY_DAYS})


def history_state(runtime: Runtime, block: Block, inputs: pl.DataFrame) -> pl.DataFrame:
    """What the history of the SIMs of `inputs` (HASH_SCHEMA) is now: STATE. To be asked before the history is read."""
    which = {"as_of": block.as_of, "sim_keys": inputs["sim_key"].to_list()}
    unknown = runtime.database.frame("usage_unknown_days", UNKNOWN_SCHEMA, which)
    return inputs.join(unknown, on="sim_key", how="left", maintain_order="left").select(STATE)


def stage_outlook(runtime: Runtime, block: Block, state: pl.DataFrame, outlook: Outlook) -> None:
    """Leave the outlook of a block of forecasts for the predictions that follow in its run.

    state  `history_state` of its SIMs before the history was read
    """
    rows = outlook.to_frame().join(state, on="sim_key", how="left", maintain_order="left")
    stage_value(runtime, FORECASTS, _place(block), rows)


def load_outlook(
    runtime: Runtime,
    block: Block,
    model: ForecastModel,
    inputs: pl.DataFrame,
    changed: pl.DataFrame | None = None,
) -> Outlook:
    """The outlook of some SIMs of a block, in the order of their keys.

    inputs   HASH_SCHEMA of the SIMs, which have usage
    changed  the history of those of them whose history is not to count as it is stored
    """
    stored = inputs if changed is None else inputs.join(changed, on="sim_key", how="anti")
    parts = []
    with runtime.database.transaction() as transaction:
        found = transaction.row("staged_value", _place(block))
    if found is not None:
        state = history_state(runtime, block, stored)
        kept = unpack(found["content"]).join(state, on=STATE, how="semi", nulls_equal=True, maintain_order="left")
        parts.append(kept.drop(STATE[1:]))
        stored = stored.join(kept, on="sim_key", how="anti")
    if stored.height:
        history = load_history(runtime.database, block.as_of, stored["sim_key"].to_list())
        parts.append(outlook_of(model, history, block.as_of).to_frame())
    if changed is not None:
        parts.append(outlook_of(model, changed, block.as_of).to_frame())
    return Outlook.from_frame(parts[0] if len(parts) == 1 else pl.concat(parts).sort("sim_key"), model)


def _place(block: Block) -> dict[str, Any]:
    """Where the outlook of a block waits, whichever task asks."""
    name = f"outlook of block {block.number} as of {block.as_of} by version {block.version.version}"
    return {"work_id": block.work_id, "name": name}
