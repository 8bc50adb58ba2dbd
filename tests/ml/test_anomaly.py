"""The anomaly detector: its knob, its kinds, its peers, broken rows, and what it says is the same however it is
asked."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml.anomaly import (
    ANOMALY_SCHEMA,
    ATTRIBUTES,
    KINDS,
    PERIOD_SCHEMA,
    AnomalyModel,
    FleetStatistics,
    detect,
    fit,
    group,
    limits,
    signals,
)
from ml.anomaly.hours import spans, unusual_hours
from ml.anomaly.injection_trial import DAYS as TEST_DAYS
from ml.anomaly.injection_trial import KINDS as TEST_KINDS
from ml.anomaly.injection_trial import run_injection_test
from ml.anomaly.places import KNOWN_TYPE, SAME_TYPE, TWO_SIMS, UNKNOWN_TYPE
from ml.anomaly.shifts import FACTORS, shifts, states_of

AS_OF = date(2026, 6, 3)  # a Wednesday
DAYS, SIMS = 160, 120
DAY = timedelta(days=1)


@lru_cache
def fleet() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """120 SIMs of three device types with weekly habits and noise, one of them at rest on odd days: history, events,
    peers."""
    rng = np.random.default_rng(3)
    days = [AS_OF - DAY * back for back in range(DAYS)][::-1]
    week = np.array([0.3 if day.weekday() > 4 else 1.0 for day in days])
    level = rng.uniform(1e5, 2e6, SIMS)
    volume = level[:, None] * week * rng.lognormal(0, 0.15, (SIMS, DAYS))
    volume[100:, ::2] = 0
    key = np.repeat(np.arange(SIMS), DAYS).astype(np.int32)
    history = pl.DataFrame(
        {
            "sim_key": key,
            "day": days * SIMS,
            "bytes": volume.astype(np.int64).ravel(),
            "sms": rng.poisson(0.2, SIMS * DAYS),
        }
    )
    types = [f"3500000{1 + sim // 50}" for sim in range(SIMS)]
    events = history.filter(pl.col("bytes") > 0).select(
        "sim_key",
        "day",
        imei=pl.col("sim_key").replace_strict(list(range(SIMS)), [f"{t}{n:06d}00" for n, t in enumerate(types)]),
        country=pl.lit("Germany"),
        operator=pl.lit("O2"),
        sessions=pl.lit(2, pl.Int32),
        # 06:00 to 09:00 UTC, two of these hours on each day
        hours=pl.when(pl.col("bytes") % 2 == 0).then(0b0_0011_0000_00).otherwise(0b0_0101_0000_00).cast(pl.Int32),
    )
    peers = pl.DataFrame(
        {
            "sim_key": np.arange(SIMS, dtype=np.int32),
            "device_type": types,
            "label_prefix": [f"S{sim % 4}" for sim in range(SIMS)],
            "country": ["Germany"] * SIMS,
            "operator": ["O2"] * SIMS,
            "batch": ["2024-01"] * SIMS,
        }
    )
    return history, events, peers


@lru_cache
def model() -> AnomalyModel:
    history, events, peers = fleet()
    before = AS_OF - DAY
    return fit(history.filter(pl.col("day") <= before), events.filter(pl.col("day") <= before), before, peers=peers)


def look(history: pl.DataFrame | None = None, events: pl.DataFrame | None = None, **how: Any) -> pl.DataFrame:
    usual, seen, peers = fleet()
    given = {"peers": peers} | how
    return detect(
        model(),
        usual if history is None else history,
        seen if events is None else events,
        given.pop("as_of", AS_OF),
        **given,
    ).frame


def changed(sim: int, days: int, volume: Any) -> pl.DataFrame:
    """The usual history with other bytes of a SIM on the last days."""
    history, _, _ = fleet()
    here = (pl.col("sim_key") == sim) & (pl.col("day") > AS_OF - DAY * days)
    return history.with_columns(bytes=pl.when(here).then(volume).otherwise("bytes").cast(pl.Int64))


def row(frame: pl.DataFrame, sim: int) -> dict[str, Any]:
    return frame.filter(pl.col("sim_key") == sim, pl.col("day") == AS_OF).row(0, named=True)


def test_an_ordinary_day_raises_next_to_nothing() -> None:
    frame = look(days=14)
    assert frame.schema == ANOMALY_SCHEMA
    assert frame.height == SIMS * 14
    assert frame["is_anomaly"].sum() <= 2


@pytest.mark.parametrize(
    ("kind", "days", "volume"),
    [
        ("spike", 1, pl.col("bytes") * 20),
        ("drift", 6, pl.col("bytes") * 3),
        ("silence", 1, pl.lit(0)),
        ("dead", 14, pl.lit(0)),
        (
            "runaway",
            9,
            (pl.col("bytes") * 1.22 ** (9 - (pl.lit(AS_OF) - pl.col("day")).dt.total_days())).cast(pl.Int64),
        ),
    ],
)
def test_each_kind_of_usage_is_told_with_numbers(kind: str, days: int, volume: Any) -> None:
    told = look(changed(5, days, volume), days=days).filter(pl.col("sim_key") == 5, "is_anomaly")
    said = told.filter(pl.col("kind").is_in([kind, "drift"] if kind == "runaway" else [kind])).row(-1, named=True)
    assert said["severity"] in ("info", "warning", "critical")
    if kind == "spike":
        assert " MB on 3 June, " in said["reasons"]
        assert "times its usual" in said["reasons"]
        assert "of a Wednesday; peers unchanged." in said["reasons"]
    if kind in ("silence", "dead"):
        assert f"Nothing for {days} day{'s' * (days > 1)}, since {AS_OF - DAY * (days - 1):%-d %B}" in said["reasons"]
        assert said["first_day"] == AS_OF - DAY * (days - 1)


def test_floods_flapping_devices_and_places_are_told_apart() -> None:
    history, events, _ = fleet()
    today = pl.col("day") == AS_OF
    floods = history.with_columns(sms=pl.when(today & (pl.col("sim_key") == 1)).then(60).otherwise("sms"))
    seen = events.with_columns(
        sessions=pl.when(today & (pl.col("sim_key") == 2)).then(90).otherwise("sessions"),
        imei=pl.when(today & (pl.col("sim_key") == 3)).then(pl.lit("9900000100000100")).otherwise("imei"),
        country=pl.when(today & (pl.col("sim_key") == 4)).then(pl.lit("Morocco")).otherwise("country"),
        operator=pl.when(today & (pl.col("sim_key") == 6)).then(pl.lit("Telekom")).otherwise("operator"),
    )
    frame = look(floods, seen)
    found = {sim: row(frame, sim)["kind"] for sim in (1, 2, 3, 4, 6)}
    assert found == {1: "sms_flood", 2: "flapping", 3: "imei_change", 4: "unexpected_country", 6: "unexpected_operator"}
    assert set(frame["kind"].drop_nulls()) <= set(KINDS)


def moved(hours: int, sims: pl.Expr, days: int) -> pl.DataFrame:
    """The usual events, so many hours later on the last days."""
    _, events, _ = fleet()
    here = sims & (pl.col("day") > AS_OF - DAY * days)
    return events.with_columns(hours=pl.when(here).then(pl.col("hours") * 2**hours).otherwise("hours").cast(pl.Int32))


def test_activity_at_hours_at_which_a_sim_never_was_is_told_with_numbers() -> None:
    frame = look(events=moved(12, pl.col("sim_key") == 20, 3))
    said = row(frame, 20)
    assert (said["kind"], said["value"], said["expected"], said["unit"]) == ("unusual_hours", 2, 0, "hours")
    assert said["first_day"] in (AS_OF - DAY * 2, AS_OF - DAY)
    assert said["reasons"].startswith("Active at unusual hours on 3 June, since ")
    assert ": 2 of 2, from 18:00 to 2" in said["reasons"]
    assert said["reasons"].endswith(":00 UTC, where it was active on none of 56 days before.")
    assert frame["is_anomaly"].sum() <= 2


def test_hours_after_a_pattern_has_lasted_for_weeks_or_a_clock_was_put_forward_are_usual_ones() -> None:
    for seen in (moved(12, pl.col("sim_key") == 20, 40), moved(1, pl.col("sim_key") >= 0, 3)):
        assert "unusual_hours" not in look(events=seen, days=3)["kind"].drop_nulls()


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_surprise_of_hours_is_the_obvious_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sims, span, days = 24, 129, 3
    usual = rng.integers(0, 2**24, (sims, 1)) & rng.integers(0, 2**24, (sims, 1)) & rng.integers(0, 2**24, (sims, 1))
    hours = (np.where(rng.random((sims, span)) < 0.02, rng.integers(0, 2**24, (sims, span)), usual)).astype(np.int32)
    hours[rng.random((sims, span)) < 0.1] = 0
    types = ["a"] * 12 + ["b"] * 10 + [""] * 2
    active = np.zeros((sims, span), dtype=bool)
    fast, extra = unusual_hours(hours, active, np.array(types), days, FleetStatistics())
    wide = [{(h + by) % 24 for h in range(24) if number >> h & 1 for by in (-1, 0, 1)} for number in hours.ravel()]

    def near(sim: int, day: int) -> set[int]:
        return wide[sim * span + day]

    def surprise(sim: int, day: int) -> tuple[float, set[int]]:
        past = range(max(day - 62, 0), day - 6)
        group = [s for s in range(sims) if not types[sim] or types[s] == types[sim]]
        own = [d for d in past if hours[sim, d]]
        theirs = [(s, d) for s in group for d in past if hours[s, d]]
        total, odd = 0.0, set()
        for hour in range(24):
            share = min(max(sum(hour in near(*who) for who in theirs) / max(len(theirs), 1), 0.002), 1)
            often = (sum(hour in near(sim, d) for d in own) + 3 * share) / (len(own) + 3)
            if hours[sim, day] >> hour & 1 and often < 0.1 and len(own) >= 21:
                total += np.log10(0.1 / often)
                odd.add(hour)
        return total, odd

    for sim in (0, 13, 23):
        for place in range(days):
            day = span - days + place
            week = [min(surprise(sim, d)[0], 4) for d in range(day - 6, day + 1)]
            assert fast[sim, place] == pytest.approx(sum(week) if week[-1] > 0 else 0, abs=1e-3)
            odd = {hour for hour in range(24) if int(extra["unusual_hours"][sim, place]) >> hour & 1}
            assert odd == surprise(sim, day)[1]


def test_weekdays_on_which_a_sim_never_worked_are_told() -> None:
    history, events, peers = fleet()
    at_rest = (pl.col("sim_key") < 50) & (pl.col("day").dt.weekday() > 5)
    working = history.with_columns(bytes=pl.when(at_rest).then(0).otherwise("bytes"))
    until, begin = date(2026, 5, 31), date(2026, 5, 30)  # a Sunday, a Saturday
    fitted = fit(working.filter(pl.col("day") < begin), events.filter(pl.col("day") < begin), begin - DAY, peers=peers)
    both = working.with_columns(
        bytes=pl.when((pl.col("sim_key") == 7) & (pl.col("day") >= begin)).then(70_000).otherwise("bytes")
    )
    said = detect(fitted, both, events, until, peers=peers).frame.filter(sim_key=7).row(0, named=True)
    assert said["kind"] == "unusual_hours"
    assert said["reasons"] == "Active on Sunday, 31 May, since 30 May, as on hardly any of the eight Sundays before."


def test_hours_are_told_as_the_shortest_stretch_also_over_midnight() -> None:
    first, last = spans(np.array([0b1110, 1 | 1 << 22, 1 << 23]))
    assert list(zip(first, last, strict=True)) == [(1, 4), (22, 1), (23, 0)]


def test_the_knob_only_adds_anomalies_as_it_is_turned_up() -> None:
    history = changed(5, 1, pl.col("bytes") * 3)
    before: set[tuple[int, date]] = set()
    for knob in (0.1, 0.5, 1, 5, 50):
        frame = look(history, days=14, false_alarms_per_1000=knob)
        odd = set(frame.filter("is_anomaly").select("sim_key", "day").iter_rows())
        assert before <= odd
        before = odd
    assert len(before) > 10
    with pytest.raises(ValueError, match="give a number above 0"):
        look(false_alarms_per_1000=0)


def test_the_same_question_has_the_same_answer_also_after_saving_and_in_any_order() -> None:
    history, events, peers = fleet()
    again = AnomalyModel.from_dict(model().to_dict())
    shuffled = history.sample(fraction=1, shuffle=True, seed=1)
    one = look(days=3)
    other = detect(again, shuffled, events.reverse(), AS_OF, days=3, peers=peers.reverse()).frame
    assert one.equals(other)
    with pytest.raises(ValueError, match="this code reads"):
        AnomalyModel.from_dict(model().to_dict() | {"format": 0})


def test_a_day_is_judged_alike_alone_and_among_others_and_later_days_do_not_matter() -> None:
    history, events, _ = fleet()
    # lately many rest who never did, texts are many, and half of a type is abroad
    lately = pl.col("day") > AS_OF - DAY * 5
    history = history.filter(~(lately & (pl.col("sim_key") > 60) & (pl.col("sim_key") % 3 > 0)))
    history = history.with_columns(sms=pl.when(lately).then(40).otherwise("sms"))
    abroad = (lately & (pl.col("sim_key") % 2 == 0)) | (pl.col("sim_key") == 9) & (pl.col("day") == AS_OF - DAY * 8)
    events = events.with_columns(country=pl.when(abroad).then(pl.lit("France")).otherwise("country"))
    among = look(history, events, days=10)
    for back in (1, 7, 8, 9):
        day = AS_OF - DAY * back
        alone = look(history, events, days=1, as_of=day)
        assert_frame_equal(
            alone.drop("first_day", "reasons", "severity"),
            among.filter(pl.col("day") == day).drop("first_day", "reasons", "severity"),
            rel_tol=1e-5,
        )


@settings(max_examples=8, deadline=None)
@given(st.sets(st.integers(0, SIMS - 1), min_size=1, max_size=40))
def test_a_sim_without_peers_is_judged_by_itself_whoever_else_is_asked_for(sims: set[int]) -> None:
    history, events, _ = fleet()
    some = pl.col("sim_key").is_in(sorted(sims))
    whole = detect(model(), history, events, AS_OF).signals
    part = detect(model(), history.filter(some), events.filter(some), AS_OF).signals
    rows = np.isin(whole.sim_keys, part.sim_keys)
    for name in ("high", "growth", "fall", "silence", "rarer"):
        assert np.array_equal(whole.channels[name][rows], part.channels[name], equal_nan=True)


def test_broken_rows_harm_their_own_sim_only() -> None:
    history, _, _ = fleet()
    broken = pl.DataFrame(
        {"sim_key": [5, 5, 8], "day": [AS_OF, AS_OF - DAY, AS_OF + DAY], "bytes": [10**12, -5, 7], "sms": [0, 0, 0]},
        schema=history.schema,
    )
    usual = look()
    frame = look(pl.concat([history, broken]))
    assert not row(frame, 5)["is_anomaly"]  # the day is given twice: it counts as unknown
    rest = pl.col("sim_key") != 5
    assert_frame_equal(frame.filter(rest).drop("score"), usual.filter(rest).drop("score"))
    assert ((frame["score"] - usual["score"]).abs() < 0.2).filter(frame["sim_key"] != 5).all()  # it has one peer less
    assert look(history.clear()).is_empty()


def test_a_silence_that_is_explained_is_told_and_no_anomaly() -> None:
    silent = changed(5, 6, pl.lit(0))
    periods = pl.DataFrame(
        {"sim_key": [5], "first_day": [AS_OF - DAY * 6], "last_day": [None], "state": ["exhausted"]},
        schema={"sim_key": pl.Int32, "first_day": pl.Date, "last_day": pl.Date, "state": pl.String},
    )
    said = row(look(silent, periods=periods), 5)
    assert not said["is_anomaly"]
    assert said["reasons"] == "Nothing on 3 June: its data volume is used up."


def test_an_outage_of_ours_silences_nobody() -> None:
    history, _, _ = fleet()
    out = history.filter(~((pl.col("day") > AS_OF - DAY * 3) & (pl.col("sim_key") % 10 > 0)))
    frame = look(out)
    assert not frame["is_anomaly"].any()
    assert row(frame, 5)["reasons"] == "Nothing on 3 June: hardly any SIM was heard of: an outage of ours."


def test_acknowledged_false_alarms_ask_for_more_and_only_of_what_they_are_about() -> None:
    history = changed(5, 4, pl.lit(0)).with_columns(
        bytes=pl.when((pl.col("sim_key") == 9) & (pl.col("day") == AS_OF)).then(pl.col("bytes") * 20).otherwise("bytes")
    )
    silence = row(look(history), 5)
    times = int(silence["score"] - 3) + 1
    schema = {"sim_key": pl.Int32, "label": pl.String, "kind": pl.String}
    doubts = pl.DataFrame([(None, "pump", "silence")] * times, schema=schema, orient="row")
    labels = pl.DataFrame(
        {"sim_key": [5, 9], "label": ["pump-5", "pump-9"]}, schema={"sim_key": pl.Int32, "label": pl.String}
    )
    quiet = look(history, feedback=doubts, labels=labels)
    assert row(quiet, 5)["is_anomaly"] == (silence["score"] - min(times, 3) >= 3)
    assert row(quiet, 9)["kind"] == "spike"


def test_what_was_forecast_is_no_spike() -> None:
    history = changed(5, 1, pl.col("bytes") * 20)
    high = row(look(history), 5)["value"]
    forecast = pl.DataFrame(
        {"sim_key": [5], "day": [AS_OF], "q0.5": [high], "q0.975": [high * 1.3]},
        schema={"sim_key": pl.Int32, "day": pl.Date, "q0.5": pl.Float64, "q0.975": pl.Float64},
    )
    assert row(look(history), 5)["kind"] == "spike"
    assert row(look(history, forecast=forecast), 5)["kind"] != "spike"


def test_one_cause_is_one_incident_named_by_the_smallest_description() -> None:
    rng = np.random.default_rng(0)
    sims = 10_000
    attributes = pl.DataFrame(
        {
            "sim_key": np.arange(sims, dtype=np.int32),
            "device_type": [f"T{n}" for n in rng.integers(0, 20, sims)],
            "label_prefix": [f"L{n}" for n in rng.integers(0, 50, sims)],
            "country": [f"C{n}" for n in rng.integers(0, 5, sims)],
            "operator": [f"O{n}" for n in rng.integers(0, 12, sims)],
            "batch": [f"B{n}" for n in rng.integers(0, 24, sims)],
        }
    )
    of_type = attributes.filter(device_type="T7")["sim_key"].to_numpy()
    loop = rng.choice(of_type, min(400, len(of_type)), replace=False)
    strays = np.setdiff1d(rng.choice(sims, 10, replace=False), loop)
    odd = pl.DataFrame({"sim_key": np.concatenate([loop, strays]).astype(np.int32)}).with_columns(
        day=pl.lit(AS_OF), kind=pl.lit("flapping"), severity=pl.lit("warning"), first_day=pl.lit(AS_OF)
    )
    grouped = group(odd, attributes)
    assert grouped.incidents.height == 1
    incident = grouped.incidents.row(0, named=True)
    assert {name: value for name, value in incident["scope"].items() if value} == {"device_type": "T7"}
    members = set(grouped.members["sim_key"].to_list())
    assert len(members & set(loop.tolist())) >= 0.95 * len(loop)
    assert len(members - set(loop.tolist())) <= 0.01 * len(loop)
    its_own = pl.when(pl.col("sim_key").is_in(odd["sim_key"].implode())).then("sim_key").alias("sim_key")
    counted = group(odd, attributes.group_by(its_own, *ATTRIBUTES).agg(sims=pl.len()))
    assert counted.incidents.equals(grouped.incidents)
    assert set(counted.members.rows()) == set(grouped.members.rows())
    alone = group(odd.filter(pl.col("sim_key").is_in(strays.tolist())), attributes)
    assert alone.incidents.is_empty()


def test_limits_of_days_under_way_lie_above_the_usual_and_below_a_spike() -> None:
    history, events, peers = fleet()
    found = signals(history, events, AS_OF, days=7, peers=peers)
    state = limits(model(), found, events)
    usual, most = (np.array(state[name].to_list()) for name in ("bytes_usual", "bytes_limits"))
    assert (most > usual)[:100].all()
    assert (most < 20 * usual)[:100].all()
    assert (usual[:100, 5] < usual[:100, 2]).mean() > 0.95  # Saturdays are below Wednesdays
    assert state["countries"].to_list()[0] == ["Germany"]


def test_a_block_of_sims_with_the_fleets_statistics_finds_what_the_whole_fleet_finds() -> None:
    history, events, peers = fleet()
    # an outage of all but a few, SIMs that are new, types that move, and some that do what is unusual for them
    history = history.filter(
        ~((pl.col("day") == AS_OF - 4 * DAY) & (pl.col("sim_key") < 100)),
        ~((pl.col("sim_key") >= 110) & (pl.col("day") < AS_OF - 50 * DAY)),
    ).with_columns(
        bytes=pl.when(pl.col("sim_key") % 10 == 3, pl.col("day") > AS_OF - 9 * DAY)
        .then(pl.col("bytes") * 3)
        .otherwise("bytes")
    )
    abroad = (pl.col("sim_key") < 30) & (pl.col("day") < AS_OF - 20 * DAY) | (pl.col("sim_key") % 40 == 39) & (
        pl.col("day") == AS_OF
    )
    # in one of its own type, of a type that others are in, and in the device of a SIM of another block
    imei = {4: "99000001000000", 44: "35000002999999", 6: "35000003000115"}
    moved = pl.col("sim_key").replace_strict(imei, default=None, return_dtype=pl.String)
    events = events.with_columns(
        country=pl.when(abroad).then(pl.lit("France")).otherwise("country"),
        imei=pl.when(pl.col("day") == AS_OF).then(moved).fill_null(pl.col("imei")),
        hours=pl.when(pl.col("sim_key") % 20 == 7, pl.col("day") > AS_OF - 5 * DAY).then(1 << 3).otherwise(1 << 12),
    )
    fitted = FleetStatistics()

    def found(low: int, high: int, statistics: FleetStatistics) -> tuple[pl.DataFrame, pl.DataFrame]:
        own, seen, alike = (
            frame.filter(pl.col("sim_key").is_between(low, high - 1)) for frame in (history, events, peers)
        )
        said = detect(model(), own, seen, AS_OF, days=14, peers=alike, fleet=statistics)
        return said.frame, limits(model(), said.signals, seen)

    whole = found(0, SIMS, fitted)
    parts = [found(low, high, fitted) for low, high in ((0, 45), (45, 110), (110, SIMS))]
    for place, frame in enumerate(whole):
        assert_frame_equal(pl.concat(part[place] for part in parts), frame, rel_tol=1e-5)
    assert not whole[0].equals(pl.concat(found(low, low + 40, FleetStatistics())[0] for low in (0, 40, 80)))


def test_a_shift_is_the_largest_sum_of_the_obvious_evidence_against_both_states() -> None:
    rng = np.random.default_rng(1)
    rests = rng.random((11, 200)) < 0.4
    logs = (rng.normal(9, 0.3, (11, 200)) - 4 * rests).astype(np.float32)  # on the move, and at rest
    logs[rng.random(logs.shape) < 0.2] = np.nan
    logs[:5, -12:] += 0.8
    logs[5, -12:] -= 0.8
    monday = 20_000 - 20_000 % 14 - 3  # a fortnight's first day, in days since 1970
    types, fleet_of = np.full(11, ""), FleetStatistics()
    states = states_of(logs, types, 60, monday + 13, fleet_of)
    assert np.allclose(states.low[:, -1], 5, atol=0.3)
    assert np.allclose(states.high[:, -1], 9, atol=0.3)
    grown, fallen, factor = shifts(states, types, (types,), 10, fleet_of)
    for sim in range(11):
        low, high, deviation = (float(of_sim[sim, -1]) for of_sim in (states.low, states.high, states.deviation))
        for place in range(10):
            best = {1: 0.0, -1: 0.0}
            for times in FACTORS:
                for sign in (1, -1):
                    each = []
                    for value in logs[sim, 190 + place - 27 : 190 + place + 1].astype(float):
                        far = min(value - low, value - high, key=abs)
                        common = np.clip(far, -0.35, 0.35)  # nobody tells of the season
                        one, other = (
                            min(min(abs(value - state - common - shift) for state in (low, high)) / deviation, 2.5)
                            for shift in (0, sign * np.log(times))
                        )
                        each.append(0 if np.isnan(value) else (one**2 - other**2) / 2 / np.log(10))
                    if each[-1] > 0:
                        best[sign] = max(best[sign], *(sum(each[begin:]) for begin in range(25)))
            assert grown[sim, place] == pytest.approx(best[1], abs=1e-3)
            assert fallen[sim, place] == pytest.approx(best[-1], abs=1e-3)
    assert (grown[:5].max(axis=1) > 1).all()
    assert fallen[5].max() > 3
    assert factor[:5].max() > 2 > 1 > factor[5].min()
    assert np.maximum(grown, fallen)[6:].max() < 2


def test_a_new_device_is_the_odder_the_fewer_of_its_type_there_are() -> None:
    history, events, peers = fleet()
    imei = {
        2: "35000001999999",  # of its own type
        3: "35000002999999",  # of a type that fifty others are in
        4: "99000001000000",  # of a type of its own
        6: "35000001000007",  # the device of SIM 7
    }
    moved = events.with_columns(
        imei=pl.when(pl.col("day") == AS_OF)
        .then(pl.col("sim_key").replace_strict(imei, default=None, return_dtype=pl.String))
        .fill_null(pl.col("imei"))
    )
    odd = signals(history, moved, AS_OF, days=7, peers=peers).channels["device"]
    assert odd[[2, 3, 4, 6], -1].tolist() == [SAME_TYPE, KNOWN_TYPE, UNKNOWN_TYPE, TWO_SIMS]
    assert odd.sum() == odd[:, -1].sum() == SAME_TYPE + KNOWN_TYPE + UNKNOWN_TYPE + TWO_SIMS
    # a SIM that is moved about all the time is a test SIM
    last = (pl.lit(AS_OF) - pl.col("day")).dt.total_days()
    moving = (pl.col("sim_key") == 4) & (last < 4)
    about = events.with_columns(imei=pl.when(moving).then(pl.format("9900000{}000000", last)).otherwise("imei"))
    odd = signals(history, about, AS_OF, days=7, peers=peers).channels["device"]
    assert odd[4, -4:].tolist() == [UNKNOWN_TYPE, UNKNOWN_TYPE, SAME_TYPE, SAME_TYPE]


def test_a_device_that_died_is_flagged_as_silent_then_as_dead_and_from_then_on_told() -> None:
    died = changed(5, 40, pl.lit(0))
    kinds = look(died, days=40).filter(pl.col("sim_key") == 5)["kind"].to_list()
    assert 1 <= kinds[:13].count("silence") <= 3
    assert kinds[13] == "dead"
    assert set(kinds[14:]) == {None}
    assert row(look(died), 5)["reasons"] == "It goes on as it was flagged before."


def test_the_same_place_at_different_times_is_no_incident() -> None:
    attributes = pl.DataFrame({"sim_key": np.arange(1000, dtype=np.int32)}).with_columns(
        device_type=pl.when(pl.col("sim_key") < 8).then(pl.lit("rare")).otherwise(pl.lit("usual")),
        label_prefix=pl.lit(""),
        country=pl.lit(""),
        operator=pl.lit(""),
        batch=pl.lit(""),
    )
    begun = [AS_OF - DAY * (60 * sim) for sim in range(8)]
    odd = pl.DataFrame(
        {"sim_key": list(range(8)), "first_day": begun}, schema={"sim_key": pl.Int32, "first_day": pl.Date}
    )
    odd = odd.with_columns(day=pl.lit(AS_OF), kind=pl.lit("dead"), severity=pl.lit("critical"))
    assert group(odd, attributes).incidents.is_empty()


def test_a_fleet_of_which_nothing_is_known_yet_has_no_anomalies() -> None:
    history, events, peers = fleet()
    few = history.filter(pl.col("day") > AS_OF - DAY * 3, pl.col("sim_key") < 4)
    new = fit(few, events.filter(pl.col("day") > AS_OF - DAY * 3), AS_OF, peers=peers)
    assert not detect(new, few, events, AS_OF, days=3, peers=peers).frame["is_anomaly"].any()
    with pytest.raises(ValueError, match="no usage to learn from"):
        fit(history.clear(), None, AS_OF)


def test_limits_of_a_fleet_too_small_to_learn_from_are_none() -> None:
    history, events, peers = fleet()
    few = pl.col("day") > AS_OF - DAY * 14, pl.col("sim_key") < 5
    history, events, peers = history.filter(*few), events.filter(*few), peers.filter(few[1])
    new = fit(history, events, AS_OF, peers=peers)
    state = limits(new, signals(history, events, AS_OF, days=7, peers=peers), events)
    assert state["sms_limit"].to_list() == state["sessions_limit"].to_list() == [2**31 - 1] * 5


def test_a_trial_injects_every_kind_and_learns_only_what_was_known_before(monkeypatch: pytest.MonkeyPatch) -> None:
    history, events, peers = fleet()
    begin = AS_OF - DAY * TEST_DAYS
    rows = [
        (5, begin - DAY * 9, begin + DAY, "suspended"),
        (6, begin + DAY, None, "exhausted"),
        (7, begin - DAY * 9, None, "seasonal_peers"),  # peers that came to rest since say it
    ]
    periods = pl.DataFrame(rows, schema=PERIOD_SCHEMA, orient="row")
    fitted: dict[str, pl.DataFrame] = {}

    def spied(*frames: Any, **given: Any) -> AnomalyModel:
        fitted.update(given)
        return fit(*frames, **given)

    monkeypatch.setattr("ml.anomaly.injection_trial.fit", spied)
    since = pl.when((pl.col("sim_key") == 3) & (pl.col("day") > begin))
    seen = events.with_columns(imei=since.then(pl.lit("9900000100000100")).otherwise("imei"))
    now = peers.with_columns(
        device_type=pl.when(pl.col("sim_key") == 3).then(pl.lit("99000001")).otherwise("device_type")
    )
    tried = run_injection_test(history, seen, AS_OF, peers=now, periods=periods)
    assert set(tried.frame["kind"]) == set(TEST_KINDS)
    assert tried.frame.filter(kind="unusual_hours")["recall"].item() == 1
    assert fitted["periods"].rows() == [(5, begin - DAY * 9, None, "suspended")]
    assert fitted["peers"].equals(peers)
