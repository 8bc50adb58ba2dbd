"""Where SIMs are and in what, laid out like the panel of their usage: counts, attributes, and surprise at new
places."""

from __future__ import annotations

from collections.abc import Container, Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.anomaly.fleet import FleetStatistics
from ml.history import IntArray, Panel

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Types = npt.NDArray[np.str_]

SEEN_DAYS = 28  # days on which a SIM must have been seen before a new place says something; WEEK for a new device
WEEK = 7
RARE = 0.002  # least share that a place is taken to have among peers
# how anomalous a new device is
SAME_TYPE, KNOWN_TYPE, UNKNOWN_TYPE, TWO_SIMS = 1.0, 1.5, 3.0, 4.0
MIN_KNOWN_SIMS = 10  # SIMs in devices of a type make it a known one, or in a small fleet
MIN_KNOWN_SHARE = 0.05  # so much of it
MIN_MOVABLE_DEVICES = 3  # a SIM that was in so many devices is moved about by its owner: another says nothing


def of_sims(peers: pl.DataFrame, panel: Panel, name: str) -> Types:
    """An attribute of each SIM of the panel, "" where it is not known."""
    keys = pl.DataFrame({"sim_key": panel.sim_keys.astype(np.int32)})
    found = keys.join(peers.select("sim_key", name).unique("sim_key"), on="sim_key", how="left", maintain_order="left")
    return np.asarray(found[name].fill_null("").to_numpy().astype(str))


def rows_of(frame: pl.DataFrame, panel: Panel) -> tuple[IntArray, IntArray, Bools]:
    """Where rows of a frame with sim_key and day stand in the panel, and whether they do."""
    sims, width = panel.values.shape
    keys = frame["sim_key"].fill_null(-1).to_numpy().astype(np.int64)
    last_key = int(panel.sim_keys[-1]) if sims else 0
    place = np.zeros(last_key + 1, np.int64)  # keys are running numbers: a table is quicker than a search
    place[panel.sim_keys] = np.arange(sims)
    row = place[np.clip(keys, 0, last_key)]
    back = np.datetime64(panel.as_of, "D").astype(np.int64) - frame["day"].cast(pl.Int32).fill_null(-1).to_numpy()
    column = width - 1 - back
    here = (column >= 0) & (column < width) & (panel.sim_keys[row] == keys if sims else False)
    return row, column, np.asarray(here)


def counts_of(frame: pl.DataFrame, panel: Panel, name: str) -> Floats:
    """Counts of a frame as a matrix like the panel; negative and missing ones count as none."""
    counts = np.zeros(panel.values.shape, np.float32)
    row, column, here = rows_of(frame, panel)
    amount = frame[name].fill_null(0).to_numpy().astype(np.float32)
    np.add.at(counts, (row[here], column[here]), np.maximum(amount[here], 0))
    return counts


def places(
    events: pl.DataFrame | None, panel: Panel, types: Types, days: int, fleet: FleetStatistics
) -> dict[str, Floats]:
    """Surprise at a new device (SAME_TYPE to TWO_SIMS), country or operator: minus the decimal logarithm of its share
    so far.

    A place is the less surprising the more of the same device type were there, and move.
    """
    found = {name: np.zeros((len(panel.sim_keys), days), np.float32) for name in ("device", "country", "operator")}
    if events is None or events.is_empty():
        return found
    width = panel.values.shape[1]
    row, column, here = rows_of(events, panel)
    here &= events.select(pl.any_horizontal(pl.col("imei", "country", "operator").is_not_null())).to_series().to_numpy()
    days_seen = np.zeros(panel.values.shape, bool)
    days_seen[row[here], column[here]] = True
    before = np.cumsum(days_seen, axis=1) - days_seen  # days on which it was seen somewhere before
    raw = pl.DataFrame({"row": row, "column": column}).with_columns(events["imei", "country", "operator"])
    raw = raw.filter(pl.Series(here))
    device = pl.col("imei").str.slice(0, 14).alias("device")
    # a SIM has been in few places: text is looked at for each of them, not for each day
    seen = raw.group_by("row", "imei", "country", "operator").agg(pl.col("column").min()).sort("row", "column")
    seen = seen.with_columns(
        device, operator=pl.concat_str([pl.col("country").fill_null(""), pl.col("operator")], separator=" ")
    )
    for name, surprise in found.items():
        firsts = seen.drop_nulls(name).group_by("row", pl.col(name).alias("place")).agg(pl.col("column").min())
        if firsts.is_empty():
            continue
        at = firsts["row"].to_numpy()
        firsts = firsts.with_columns(pl.Series("type", types[at]))
        if name == "device":
            imeis = seen.filter(pl.col("row").n_unique().over("device") > 1)["imei"].unique()
            shared = raw.filter(pl.col("imei").is_in(imeis.implode())).select("row", "column", place=device)
            firsts, shared = (
                frame.with_columns(sim=panel.sim_keys[frame["row"].to_numpy()]) for frame in (firsts, shared)
            )
            scores = _of_devices(firsts, shared, fleet)
        else:
            firsts = firsts.with_row_index("nth")
            for by, of_types in fleet.of(f"{name} of types", _of_types, firsts):
                firsts = firsts.sort("column").join_asof(of_types, on="column", by=by, check_sortedness=False)
            firsts = firsts.sort("nth")
            firsts = firsts.with_columns(pl.col("sims", "all").fill_null(1), pl.col("moving").fill_null(0))
            others = (firsts["sims"] - 1).to_numpy() / np.maximum(firsts["all"].to_numpy() - 1, 1)
            moving = firsts["moving"].to_numpy() / firsts["all"].to_numpy()
            scores = -np.log10(np.clip(5 * np.maximum(others * moving, RARE) / (SEEN_DAYS + 5), 1e-6, 1))
        day = firsts["column"].to_numpy()
        place = day - (width - days)
        fit = (place >= 0) & (before[at, day] >= (WEEK if name == "device" else SEEN_DAYS))
        np.maximum.at(surprise, (at[fit], place[fit]), scores[fit].astype(np.float32))
    found["operator"][found["country"] > 0] = 0  # another country has other operators
    return found


def _of_types(firsts: pl.DataFrame) -> list[tuple[list[str], pl.DataFrame]]:
    """Of each device type by each day: `all`, how many SIMs were seen; `moving`, how many of them at more than one
    place; `sims`, how many at each place. Each with the columns that it goes by beside the day (`column`)."""
    nth = firsts.select("type", "place", "column", nth=pl.col("column").rank("ordinal").over("row"))

    def so_far(part: pl.DataFrame, by: list[str], name: str) -> tuple[list[str], pl.DataFrame]:
        daily = part.group_by(*by, "column").len().sort("column")
        return by, daily.select(*by, "column", pl.col("len").cum_sum().over(by).alias(name))

    return [
        so_far(nth.filter(pl.col("nth") == 1), ["type"], "all"),
        so_far(nth.filter(pl.col("nth") == 2), ["type"], "moving"),
        so_far(nth, ["type", "place"], "sims"),
    ]


def _of_devices(firsts: pl.DataFrame, shared: pl.DataFrame, fleet: FleetStatistics) -> npt.NDArray[np.float64]:
    """How anomalous each device is on the day on which a SIM is first seen in it.

    firsts  sim, place (the device), column (the day): one row a SIM and device
    shared  the same, a row for each day, of devices that several of these SIMs were in

    One of a type that the SIM was in before takes the place of a broken one. One of a type that many in the fleet have
    by that day is a new model. One of a type of its own is neither, and one that another SIM was in within SEEN_DAYS is
    moved, shared or copied; of a fleet of which a sample is known, by a SIM of the sample or by one of these.
    """
    kind = pl.col("place").str.slice(0, 8).alias("kind")
    in_type = firsts.group_by("sim", kind).agg(since=pl.col("column").min())
    sims, number, elsewhere = fleet.of("devices", _of_fleet, in_type, shared)
    in_type = in_type.sort("since").join_asof(number, on="since", by="kind", check_sortedness=False)
    before = pl.col("column").rank("min").over("sim") - 1
    at = firsts.with_columns(kind, before=before).join(in_type, on=["sim", "kind"], how="left", maintain_order="left")
    scores = (
        pl.when((pl.col("column") > pl.col("since")) | (pl.col("before") >= MIN_MOVABLE_DEVICES))
        .then(SAME_TYPE)
        .when((pl.col("number") > max(2.0, min(MIN_KNOWN_SIMS, MIN_KNOWN_SHARE * sims))).fill_null(value=False))
        .then(KNOWN_TYPE)
        .otherwise(UNKNOWN_TYPE)
    )
    values = at.select(scores).to_series().to_numpy().copy()
    later = at.with_row_index("nth").filter(pl.col("before") > 0)
    others = pl.concat([shared, elsewhere]).join(later, on="place", suffix="_new")
    ago = pl.col("column_new") - pl.col("column")
    others = others.filter(pl.col("sim") != pl.col("sim_new"), ago.is_between(0, SEEN_DAYS))
    values[others["nth"].unique().to_numpy()] = TWO_SIMS
    return np.asarray(values)


def _of_fleet(in_type: pl.DataFrame, shared: pl.DataFrame) -> tuple[int, pl.DataFrame, pl.DataFrame]:
    """How many SIMs there are; how many were in devices of each type by each day on which one more was; days in shared
    devices."""
    by_day = in_type.group_by("kind", "since").len().sort("since", "kind")
    return (
        in_type["sim"].n_unique(),
        by_day.with_columns(number=pl.col("len").cum_sum().over("kind")).drop("len"),
        shared,
    )


MIN_PEERS = 10  # SIMs of a device type that are peers enough


def of_type(types: Types, known: Container[str] | None = None) -> Iterator[tuple[str, IntArray]]:
    """The rows of each device type that has MIN_PEERS, or of those of which something is known of the fleet."""
    names, number, counts = np.unique(types, return_inverse=True, return_counts=True)
    order = np.argsort(number, kind="stable")
    for name, rows in zip(names, np.split(order, np.cumsum(counts)), strict=False):
        if name and (len(rows) >= MIN_PEERS if known is None else name in known):
            yield str(name), rows


def middle_of_peers(values: Floats) -> Floats:
    """The median of each day, NaN where fewer than MIN_PEERS are known."""
    ordered = np.sort(values, axis=0)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=0)
    middle = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[None], 0)[0]
    return np.where(count >= MIN_PEERS, middle, np.nan).astype(np.float32)


def both(own: Floats, relative: Floats) -> Floats:
    """What is anomalous against the SIM's own past and against its peers: the smaller of the two where they agree in
    sign, else 0."""
    smaller = np.minimum(np.abs(own), np.abs(relative)) * np.sign(own)
    return np.where(np.isnan(own) | (np.sign(own) == np.sign(relative)), smaller, 0).astype(np.float32)
