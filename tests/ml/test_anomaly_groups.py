"""What many SIMs do together, and what a SIM never did before, on fleets made here."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import polars as pl
import pytest

from ml.anomaly import AnomalyModel, detect, fit, group, signals, typical
from ml.anomaly.control import corrected, corrections
from ml.anomaly.counts import FEW_DAYS, unusual
from ml.anomaly.detection import _goes_on
from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.gaps import usual_gaps
from ml.anomaly.own_past import missed, record, turns
from ml.anomaly.reports import rarer
from ml.anomaly.signals import CHANNELS
from ml.anomaly.together import OF_MEAN, OF_OPERATOR, resting, shared
from simulator.field import FieldFleet

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


def test_a_loop_holds_sims_that_report_every_third_day_on_the_days_between() -> None:
    volume, sessions = usual()
    rare = (np.arange(DAYS) + np.arange(100, 200)[:, None]) % 3 == 0
    volume[100:][~rare] = 0
    sessions[100:170, -12:] += 4
    known = frames(volume, sessions)
    found = signals(known["history"], known["events"], AS_OF, days=9, peers=known["peers"]).shared["sessions"]
    idle = volume[:, -9:] == 0
    assert (found[100:170][idle[100:170]] > 0).mean() > 0.95
    assert (found[170:] > 0).mean() < 0.1
    frame = detect(model(), known["history"], known["events"], AS_OF, days=1, peers=known["peers"]).frame
    held = frame.filter(pl.col("sim_key").is_between(100, 169), kind="flapping", value=0)
    assert held.height > 30
    assert held["reasons"].str.starts_with("No report on 3 June; many of its device type").all()


def test_a_sim_that_reports_on_every_second_day_is_told_soon_and_one_that_always_did_is_not() -> None:
    rng = np.random.default_rng(9)
    volume, sessions = usual()
    volume[(rng.random(volume.shape) < 0.1) & (np.arange(SIMS)[:, None] >= 100)] = 0  # unreliable ones
    volume[40:50, ::2] = 0  # their habit
    volume[160, -12::2] = 0
    known = frames(volume, sessions)
    before = AS_OF - 12 * DAY
    until = {name: known[name].filter(pl.col("day") <= before) for name in ("history", "events")}
    fitted = fit(until["history"], until["events"], before, peers=known["peers"])
    frame = detect(fitted, known["history"], known["events"], AS_OF, days=12, peers=known["peers"]).frame
    found = frame.filter("is_anomaly", kind="silence")
    ours = found.filter(pl.col("sim_key") == 160)
    assert ours["reasons"].str.contains("It reports on every second day only").any()
    assert not found["sim_key"].is_between(40, 49).any()
    assert found.height - ours.height <= 4
    assert turns(volume.astype(np.float32), 12)[40:50].max() == 0


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
    volume[100:140, -3] *= 40
    assert "spike" not in look(volume, sessions, 4)["kind"].drop_nulls()
    costly, _ = usual()
    costly[100:140, -3] *= 200
    assert "spike" in look(costly, sessions, 4)["kind"].drop_nulls(), "a loop burns more than an update"
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
    frame = look(volume, sessions, 25).filter(pl.col("sim_key") == 7, "is_anomaly")
    assert 1 <= frame.height <= 4
    later = look(volume, sessions, 14).filter(pl.col("sim_key") == 7)["reasons"].drop_nulls()
    assert later.is_in(["It goes on as it was flagged before."]).any()
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
    surprise, share = missed(volume, np.full(3, ""), 2, FleetStatistics())
    assert surprise[0, 1] > surprise[0, 0] > 2
    assert surprise[1, 0] < 0.5
    assert share[1, 0] > 0.4
    assert surprise[2, 1] > 1.5


def test_reports_that_get_rarer_are_told_by_the_days_since_the_last_and_a_season_is_none_of_a_sim() -> None:
    days = np.arange(210)
    volume = np.ones((40, 210), np.float32)
    volume[1] = days % 3 == 0  # due every third day
    volume[2] = days % 7 < 5  # closed at weekends
    late = days >= 182
    volume[[0, 3], 182:] = days[late] % 2
    volume[1] *= ~late | (days % 6 == 0)  # every second report is lost
    found, reports, due = rarer(volume, np.full(40, ""), 28, 20_000, FleetStatistics())
    assert (found[[0, 1]].max(axis=1) > 4).all()
    assert found[2].max() == 0
    assert (reports[0, -1], round(float(due[0, -1]))) == (28, 42)
    volume[:, 182:] = days[late] % 2  # all of a device type
    found, _, _ = rarer(volume, np.full(40, "a"), 28, 20_000, FleetStatistics())
    assert found.max() < 2


def test_silence_surprises_less_in_device_types_whose_silences_go_on() -> None:
    rng = np.random.default_rng(3)
    volume = np.ones((60, 120), np.float32)
    for sim in range(20):  # of type "a" each silence lasts three days, of type "b" one
        for day in rng.integers(0, 100, 3):
            volume[sim, day : day + 3] = 0
    volume[20:40][rng.random((20, 120)) < 0.08] = 0
    volume[[0, 20], -40:] = 1  # neither has been silent for long
    volume[[0, 20], -2:] = 0
    types = np.repeat(["a", "b", "c"], 20)
    surprise, _ = missed(volume, types, 2, FleetStatistics())
    assert surprise[20, 1] - surprise[20, 0] > surprise[0, 1] - surprise[0, 0] + 0.3


def test_a_silence_longer_than_the_sims_heartbeat_surprises_whatever_the_heartbeat_is() -> None:
    volume = np.zeros((2, 120), np.float32)
    volume[0, ::3] = 1  # every third day
    volume[1] = 1
    volume[:, -5:] = 0  # since a day on which both reported
    surprise, _ = missed(volume, np.full(2, ""), 5, FleetStatistics())
    assert (surprise[0, :2] < 1).all(), "two days between reports are its heartbeat"
    assert surprise[0, 2] > 1.5
    assert surprise[1, 1] > 2.2, "as sure as one may be that a day gets lost for anybody"


def test_a_sim_is_held_against_the_pauses_that_most_of_its_device_type_had() -> None:
    gap = np.full((20, 1), 9, np.float32)
    gap[0] = 2
    found = usual_gaps(gap, np.full((20, 1), 30, np.float32), np.ones((20, 90)), np.full(20, "a"), FleetStatistics())
    assert found[0, 0] == 9
    gap[1:] = 1
    alone = usual_gaps(gap, np.full((20, 1), 30, np.float32), np.ones((20, 90)), np.full(20, "a"), FleetStatistics())
    assert alone[0, 0] == 2


def test_a_day_of_less_than_two_and_a_half_times_the_usual_is_no_spike() -> None:
    volume, sessions = usual()
    volume[120:124, -3] *= np.array([1.9, 1.9, 4, 6])
    spikes = look(volume, sessions, 3).filter("is_anomaly", kind="spike")
    assert set(spikes["sim_key"]) == {122, 123}


def test_a_level_that_lasts_is_flagged_once_and_again_only_where_it_is_worse() -> None:
    volume, sessions = usual()
    volume[130, -20:] *= 0.3
    frame = look(volume, sessions, 20).filter(pl.col("sim_key") == 130)
    assert frame.filter("is_anomaly", kind="drift").height == 1
    assert frame["is_anomaly"].sum() <= 6
    assert (frame["reasons"] == "It goes on as it was flagged before.").sum() >= 5
    value = np.zeros((2, 30), np.float32)
    value[0, 3:9] = 4, 4.2, 4.1, 5.8, 5.9, 4
    value[1, [5, 12, 29]] = 4  # left and reached again within two weeks, and after more
    goes_on = _goes_on(value) & (value > 0)
    assert np.flatnonzero(goes_on[0]).tolist() == [4, 5, 7, 8]
    assert np.flatnonzero(goes_on[1]).tolist() == [12]


def test_use_that_more_sessions_explain_is_told_apart_and_counted_by_itself() -> None:
    volume, sessions = usual()
    volume[[140, 141], -1] *= 9
    sessions[141, -1] += 12
    known = frames(volume, sessions)
    found = signals(known["history"], known["events"], AS_OF, days=1, peers=known["peers"]).channels
    assert found["high"][140, 0] > 5 > found["busy"][140, 0] == 0
    assert found["busy"][141, 0] > 5 > found["high"][141, 0] == 0


def test_an_update_that_comes_to_few_on_each_day_shows_over_three() -> None:
    part = np.zeros((120, 100), bool)
    for back, rows in enumerate((range(4), range(4, 9), range(9, 13)), start=1):
        part[list(rows), -back] = True
    groups, known = np.repeat(["a", "b", "c"], 40), np.ones_like(part)
    limits = (0.05, 6.0)
    assert not shared(part, known, groups, 1, FleetStatistics(), "x", limits=limits).any()
    assert shared(part, known, groups, 1, FleetStatistics(), "x", limits=limits, window=3)[:4].all()
    members = np.zeros((120, 1), bool)
    members[:6] = True
    found = shared(part, known, groups, 1, FleetStatistics(), "x", limits=limits, window=3, members=members)
    assert (found[:, 0] > 0).tolist() == [True] * 6 + [False] * 114


def test_a_type_of_which_few_report_on_each_day_shows_by_how_restless_they_are_in_the_mean() -> None:
    groups = np.repeat(["a", "b", "c", "d", "e"], 27)
    known = (np.arange(100) + np.arange(135)[:, None]) % 3 == 0  # nine of a type on each day
    restless = np.random.default_rng(4).gamma(0.5, 0.5, known.shape).astype(np.float32)
    restless[0, -3:] = 30  # a SIM alone is none of its type's
    share = np.minimum(restless / 2, 1)
    assert not shared(share, known, groups, 20, FleetStatistics(), "x", limits=OF_MEAN, window=3).any()
    restless[27:54, -3:] = np.minimum(restless[27:54, -3:] + 0.9, 1)
    share, fleet = np.minimum(restless / 2, 1), FleetStatistics()
    assert not shared(restless > 1, known, groups, 1, fleet, "many", window=3).any()
    found = shared(share, known, groups, 1, fleet, "mean", limits=OF_MEAN, window=3)
    assert (found[27:54][known[27:54, -1:]] >= 6).all()
    assert not found[:27].any()
    assert not found[54:].any()
    assert not shared(share, known, groups, 1, fleet, "again", limits=OF_MEAN, window=3, unless="mean").any()


def test_a_sim_that_reports_rarely_has_usual_sessions_for_its_group_once_it_is_known_for_long() -> None:
    days = np.arange(120)
    known = np.tile(days % 5 == 4, (3, 1))
    known[1, :60] = False  # a young one
    counts = np.where(known, 3, 0).astype(np.float32)
    counts[:, -10:][known[:, -10:]] = 12
    alone, *_, judged = unusual(counts, known, 10, FleetStatistics(), "sessions")
    assert not judged.any()
    assert not alone.any()
    far, _, usual_count, judged = unusual(counts, known, 10, FleetStatistics(), "sessions", None, FEW_DAYS)
    assert judged.sum(axis=1).tolist() == [2, 0, 2]
    assert (far[[0, 2]][judged[[0, 2]]] > 2).all()
    assert usual_count[0, -1] < 5, "what lasts does not become usual"


def test_a_device_type_with_more_alarms_than_its_past_promised_is_believed_less() -> None:
    rng = np.random.default_rng(5)
    types = np.repeat(["a", "b"], 60)
    values = rng.exponential(size=(120, 84)).astype(np.float32)
    values[:60, -28:][rng.random((60, 28)) < 0.02] += 20
    channels = dict.fromkeys(CHANNELS, np.zeros_like(values)) | {"sessions": values}
    classes = dict.fromkeys(CHANNELS, np.zeros(values.shape, int))
    every = np.ones(values.shape, bool)
    found = corrections(channels, classes, every, every, types)["sessions"]
    assert found["a"] > 0.5
    assert found["b"] < 0.3
    known = every.copy()
    known[:60, -28:] = False  # a fault of the whole type says nothing
    assert corrections(channels, classes, every, known, types)["sessions"]["a"] < 0.3
    scores = corrected(np.full((120, 1), 4, np.float32), found, types)
    assert scores[0, 0] == pytest.approx(4 - found["a"])
    assert corrected(np.zeros((120, 1), np.float32), found, types).max() == 0
    assert corrections(channels, classes, every[:, :20], every[:, :20], types) == {}, "of a few days nothing is said"


def test_weather_over_one_device_type_is_no_outage_of_its_operator() -> None:
    operators, kinds = np.tile(["o", "p"], 100), np.repeat(["a", "b", "c", "d"], 50)
    part = np.random.default_rng(2).random((200, 100)) < 0.03
    known = np.ones_like(part)
    of_one = part.copy()
    of_one[(operators == "o") & (kinds == "a"), -1] = True
    assert not shared(of_one, known, operators, 1, FleetStatistics(), "x", kinds=kinds).any()
    assert shared(of_one, known, np.char.add(operators, kinds), 1, FleetStatistics(), "x", limits=(0.6, 6.0)).sum() > 0
    of_all = part.copy()
    of_all[(operators == "o") & (np.arange(200) % 4 < 3), -1] = True
    assert (shared(of_all, known, operators, 1, FleetStatistics(), "x", kinds=kinds) > 0).sum() >= 90


def test_the_last_sims_that_take_part_are_of_the_same_cause() -> None:
    part = np.random.default_rng(2).random((200, 100)) < 0.01
    part[:, -3:] = False
    part[:60, -3] = True
    part[60:62, -1] = True
    groups, known = np.repeat(["a", "b"], 100), np.ones_like(part)
    assert not shared(part, known, groups, 1, FleetStatistics(), "x").any()
    assert (shared(part, known, groups, 1, FleetStatistics(), "x", lasting=3)[60:62] > 0).all()


def test_sims_that_stand_still_together_are_told_and_no_anomalies() -> None:
    volume, sessions = usual()
    known = frames(volume, sessions)
    weather = (np.arange(SIMS) % 2 == 1) & (np.arange(SIMS) // 50 == 0)  # one type of four, on one operator
    volume[weather, -2:] = 0
    known["history"] = frames(volume, sessions)["history"]
    peers = known["peers"].with_columns(
        device_type=pl.format("3600000{}", pl.col("sim_key") // 50), label_prefix=pl.lit("")
    )
    frame = detect(model(), known["history"], known["events"], AS_OF, days=2, peers=peers).frame
    rested = frame.filter(pl.col("sim_key").is_in(np.flatnonzero(weather).tolist()))
    assert not rested["is_anomaly"].any()
    assert rested["reasons"].str.contains("most SIMs of its device type and operator are silent, too").all()


def test_a_company_of_four_rests_together() -> None:
    volume = np.ones((6, 60), np.float32)
    volume[:4, -3:] = 0
    found = resting(volume, np.array(["c"] * 4 + ["d", ""]), FleetStatistics())
    assert found[:4, -3:].all()
    assert found.sum() == 12
    alone = resting(volume[[0, 4]], np.array(["c", "c"]), FleetStatistics())
    assert not alone.any()


@pytest.mark.parametrize(("sims", "days"), [(28, 90), (210, 30)])
def test_fleets_of_which_little_is_known_flag_little(sims: int, days: int) -> None:
    fleet = FieldFleet(3, sims, "A", faulty=False, first=date(2025, 2, 1), days=days + 14)
    known = fleet.first + timedelta(days=days - 1)

    def until(day: date) -> dict[str, pl.DataFrame]:
        here = pl.col("day") <= day
        return {"history": fleet.history.filter(here), "events": fleet.events.filter(here), "peers": fleet.peers}

    found = detect(fit(as_of=known, **until(known)), as_of=fleet.last, days=14, **until(fleet.last)).frame
    assert found.height == 14 * sims
    assert found["is_anomaly"].sum() <= max(0.006 * found.height, 2)


def test_what_is_typical_counts_the_less_the_more_is_known() -> None:
    own = np.zeros(len(typical.SHARES))
    assert typical.weight(0) == 1
    assert typical.weight(typical.ENOUGH_SIM_DAYS) == 0
    half = typical.drawn_to(own, "high", 0.5)
    assert half[-1] == typical.TAILS["high"][-1] / 2
    assert (typical.drawn_to(own + 100, "high", 1.0) == 100).all()
    assert set(typical.TAILS) == set(CHANNELS) - {"pattern"}
    assert all((np.diff(tail) >= 0).all() and len(tail) == len(own) for tail in typical.TAILS.values())


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


def test_sims_that_take_turns_do_not_rest() -> None:
    sims, days = np.arange(24)[:, None], np.arange(120)
    volume = ((sims + days) % 3 == 0).astype(np.float32)
    assert not resting(volume, np.full(24, "c"), FleetStatistics()).any(), "two in three are silent on every day"
    volume[:, -4:] = 0
    found = resting(volume, np.full(24, "c"), FleetStatistics())
    assert found[:, -1].all()
    assert not found[:, :-4].any()


def test_a_weekday_on_which_a_device_type_is_always_restless_is_no_fault_of_it() -> None:
    part = np.random.default_rng(2).random((200, 120)) < 0.03
    groups, known = np.repeat(["a", "b"], 100), np.ones_like(part)
    part[:40, 6::7] = True  # the last such day is the last but one
    assert not shared(part, known, groups, 2, FleetStatistics(), "x").any()
    part[:40, -1] = True
    assert (shared(part, known, groups, 2, FleetStatistics(), "x")[:40, 1] > 6).all()


def test_what_one_device_type_does_says_nothing_of_another() -> None:
    part = np.random.default_rng(2).random((200, 100)) < 0.01
    groups, known = np.repeat(["a", "b", "c", "d"], 50), np.ones_like(part)
    part[:50, -1] = True  # all of "a"
    part[50:62, -1] = True
    assert (shared(part, known, groups, 1, FleetStatistics(), "x")[50:62] > 6).all()


def test_an_outage_shows_in_a_tenth_of_an_operators_sims_of_all_types() -> None:
    operators, kinds = np.tile(["o", "p"], 300), np.repeat(list("abcdefghij"), 60)
    part = np.random.default_rng(2).random((600, 100)) < 0.1
    known = np.ones_like(part)
    part[(operators == "o") & (np.arange(600) % 8 < 2), -1] = True
    found = shared(part, known, operators, 1, FleetStatistics(), "x", kinds=kinds, limits=OF_OPERATOR)
    assert (found > 0).sum() >= 75
    part[:, -1] = part[:, -2]
    part[(operators == "o") & (np.arange(600) < 180), -1] = True  # weather over three of ten
    assert not shared(part, known, operators, 1, FleetStatistics(), "x", kinds=kinds, limits=OF_OPERATOR).any()


def test_a_silence_that_has_not_ended_says_nothing_of_usual_ones() -> None:
    volume = np.ones((40, 120), np.float32)
    volume[np.arange(1, 40), np.arange(1, 40) * 2] = 0  # one lost day each
    volume[20:30, -20:] = 0  # a quarter is dead by now
    volume[0, -2:] = 0
    surprise, _ = missed(volume, np.full(40, "a"), 2, FleetStatistics())
    assert surprise[0, 1] - surprise[0, 0] > 1


def test_an_update_is_measured_by_the_larger_days_of_a_week() -> None:
    volume, sessions = usual()
    weekend = np.array([(AS_OF - DAY * int(back)).weekday() >= 5 for back in range(DAYS)])[::-1]
    volume[:, weekend] *= 0.06
    on_sunday = np.flatnonzero(weekend)[-1]
    volume[100:140, on_sunday] *= 16 * 12
    known = frames(volume, sessions)
    found = signals(known["history"], known["events"], AS_OF, days=7, peers=known["peers"])
    assert found.updates[100:140, on_sunday - DAYS].all()
    assert not found.updates[:100].any()


def test_sessions_are_held_against_those_of_a_quiet_weekday() -> None:
    days = np.arange(120)
    counts = np.where(days % 7 < 5, 12.0, 2.0) * np.ones((20, 1))
    counts = (counts + np.random.default_rng(6).integers(0, 2, counts.shape)).astype(np.float32)
    sunday = int(days[days % 7 == 6][-1])
    counts[0, sunday] = 9
    known, types = np.ones(counts.shape, bool), np.full(20, "A")
    alike, *_ = unusual(counts, known, 14, FleetStatistics(), "sessions")
    on_day, *_ = unusual(counts, known, 14, FleetStatistics(), "sessions", types)
    assert alike[0, sunday - 120] < 0.5 < 1 < on_day[0, sunday - 120]
    assert (on_day[1:] < 1).all()
