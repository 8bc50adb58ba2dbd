"""What many SIMs do together, and what a SIM never did before, on fleets made here."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import polars as pl

from ml.anomaly import AnomalyModel, detect, fit, group
from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.own_past import missed, rarer, record
from ml.anomaly.together import resting, shared

AS_OF = date(2026, 6, 3)
DAY = timedelta(days=1)
SIMS, DAYS = 200, 170


def frames(volume: np.ndarray, sessions: np.ndarray) -> dict[str, pl.DataFrame]:
    """Usage, events and peers of two device types, ten companies and two operators."""
    sims, days = volume.shape
    key = np.repeat(np.arange(sims, dtype=np.int32), days)
    day = np.tile(np.datetime64(AS_OF, "D") - np.arange(days)[::-1], sims)
    used = volume.ravel() > 0
    types = np.array([f"3500000{sim // 100}" for sim in range(sims)])
    return {
        "history": pl.DataFrame({"sim_key": key, "day": day, "bytes": volume.ravel().astype(np.int64), "sms": 0 * key}),
        "events": pl.DataFrame(
            {
                "sim_key": key[used],
                "day": day[used],
                "imei": [f"{types[sim]}{sim:06d}00" for sim in key[used]],
                "country": "Germany",
                "operator": [f"O{sim % 2}" for sim in key[used]],
                "sessions": sessions.ravel()[used].astype(np.int32),
                "hours": np.full(used.sum(), 0b1110000, np.int32),
            }
        ),
        "peers": pl.DataFrame(
            {
                "sim_key": np.arange(sims, dtype=np.int32),
                "device_type": types.tolist(),
                "label_prefix": [f"C{sim // 20}" for sim in range(sims)],
                "country": ["Germany"] * sims,
                "operator": [f"O{sim % 2}" for sim in range(sims)],
                "batch": [""] * sims,
            }
        ),
    }


def usual() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    volume = rng.uniform(1e5, 1e6, (SIMS, 1)) * rng.lognormal(0, 0.15, (SIMS, DAYS))
    return volume, 1 + rng.poisson(0.5, (SIMS, DAYS))


@lru_cache
def model() -> AnomalyModel:
    known = frames(*usual())
    before = AS_OF - 30 * DAY
    known |= {name: known[name].filter(pl.col("day") <= before) for name in ("history", "events")}
    return fit(known["history"], known["events"], before, peers=known["peers"])


def look(volume: np.ndarray, sessions: np.ndarray, days: int) -> pl.DataFrame:
    known = frames(volume, sessions)
    return detect(model(), known["history"], known["events"], AS_OF, days=days, peers=known["peers"]).frame


def test_a_company_that_closes_is_told_and_its_sims_are_no_anomalies_but_one_that_stays_silent_is() -> None:
    volume, sessions = usual()
    volume[:20, -20:-6] = 0
    volume[3, -6:] = 0
    frame = look(volume, sessions, 20)
    closed = frame.filter(pl.col("sim_key") < 20, pl.col("day") <= AS_OF - 6 * DAY)
    assert not closed["is_anomaly"].any()
    assert closed["reasons"].drop_nulls().str.contains("most SIMs of its label are silent, too").sum() == 20 * 14
    assert frame.filter(pl.col("sim_key") == 3, pl.col("is_anomaly"))["kind"].unique().to_list() == ["silence"]


def test_a_loop_of_few_sessions_holds_its_sims_in_one_incident_while_it_lasts() -> None:
    volume, sessions = usual()
    volume[100:170, -14:] *= 2.5
    sessions[100:170, -14:] += 4
    frame = look(volume, sessions, 14)
    peers = frames(volume, sessions)["peers"]
    for back in range(14):
        found = group(frame.filter("is_anomaly", pl.col("day") == AS_OF - back * DAY), peers)
        assert found.incidents["title"].to_list()[0].endswith("SIMs of device type 35000001, since 21 May")
        assert len(set(found.members["sim_key"].to_list()) & set(range(100, 170))) >= 63


def test_an_update_of_a_device_type_is_no_spike_and_an_outage_of_an_operator_is_one_incident() -> None:
    volume, sessions = usual()
    volume[100:140, -3] *= 8
    assert "spike" not in look(volume, sessions, 4)["kind"].drop_nulls()
    alone, _ = usual()
    alone[120, -3] *= 8
    assert look(alone, sessions, 4).filter("is_anomaly")["kind"].to_list()[:1] == ["spike"]
    volume, sessions = usual()
    volume[1::2, -1] *= 0.5
    frame = look(volume, sessions, 1)
    found = group(frame.filter("is_anomaly"), frames(volume, sessions)["peers"])
    assert found.incidents["title"].to_list()[0].endswith("of operator O1, since 3 June")
    assert found.incidents["sims"].item() >= 70
    said = frame.filter(pl.col("is_anomaly"))["reasons"][0]
    assert said.startswith("It sent less, as many SIMs of its operator did: ")


def test_a_battery_that_declines_is_told_and_a_day_of_a_restless_sim_beyond_all_of_its_days() -> None:
    volume, sessions = usual()
    sent = np.cumsum([1, 1, 2, 2, 3, 3, 4, 4, 5])
    volume[7, -25:] = np.where(np.isin(np.arange(25), sent), volume[7, -25:], 0)
    frame = look(volume, sessions, 14).filter(pl.col("sim_key") == 7, "is_anomaly")
    assert frame["reasons"].str.contains("It reports ever more rarely: on ").any()
    rng = np.random.default_rng(1)
    restless = 1e5 * rng.lognormal(0, 0.8, (3, 150)).astype(np.float32)
    restless[0, -1] = restless[0, :-1].max() * 6
    far = record(restless, np.log(restless), 2, 20_000)
    assert far[0, 1] > 1.5
    assert (far[1:] < 1).all()


def test_silence_surprises_by_the_sims_own_reports_and_weekdays() -> None:
    volume = np.ones((3, 100), np.float32)
    volume[1, ::2] = 0  # every second day
    volume[2, 6::7] = 0  # one weekday
    volume[:, -2:] = 0
    surprise, share = missed(volume, 2)
    assert surprise[0, 1] > surprise[0, 0] > 2
    assert surprise[1, 0] < 0.5
    assert share[1, 0] > 0.4
    assert surprise[2, 1] > 1.5
    below, now, fewest = rarer(np.where(np.arange(140) >= 126, np.arange(140) % 3 == 0, 1)[None].astype(np.float32), 1)
    assert below.item() > 5
    assert (now.item(), fewest.item()) == (5, 14)


def test_a_group_takes_part_only_where_the_others_do_not() -> None:
    rng = np.random.default_rng(2)
    part = rng.random((200, 100)) < 0.05
    part[:60, -1] = True
    groups = np.repeat(["a", "b"], 100)
    known = np.ones_like(part)
    found = shared(part, known, groups, 2, FleetStatistics(), "x")
    assert (found[:60, 1] >= 6).all()
    assert not found[:, 0].any()
    part[:, -1] = True
    assert not shared(part, known, groups, 2, FleetStatistics(), "x").any()
    quiet = np.ones((20, 60), np.float32)
    quiet[:4, -3:] = 0
    assert not resting(quiet, np.array(["c"] * 20), FleetStatistics()).any()
