"""Silences that the season explains, and those that it does not: a dead device among seasonal ones is none of them."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from ml.anomaly.seasons import IDLE_SCHEMA, idle_periods, seasonal_periods
from ml.anomaly.signals import PERIOD_SCHEMA

AS_OF = date(2026, 1, 20)
DAY = timedelta(days=1)
YEAR = DAY * 364
OPEN = {"sim_key": pl.Int32, "first_day": pl.Date, "last_day": pl.Date}


def used(sim: int, *spans: tuple[date, date]) -> pl.DataFrame:
    """A SIM that uses data on every day of each span, both ends included."""
    days = [day for first, last in spans for day in pl.date_range(first, last, eager=True)]
    return pl.DataFrame(
        {"sim_key": sim, "day": days, "bytes": 5}, schema={"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64}
    )


def peers(sims: int, kind: str = "pump") -> pl.DataFrame:
    return pl.DataFrame({"sim_key": range(sims)}, schema={"sim_key": pl.Int32}).with_columns(
        device_type=pl.lit(kind), label_prefix=pl.lit("")
    )


def explained(
    begun: dict[int, date],
    rests: list[tuple[int, date, date | None, date | None]],
    sims: int = 1,
    as_of: date = AS_OF,
    periods: pl.DataFrame | None = None,
) -> dict[int, str]:
    """By SIM, what explains the silence that began on a day, from rests a year before (IDLE_SCHEMA)."""
    idle = pl.DataFrame([(sim, day, None) for sim, day in begun.items()], schema=OPEN, orient="row")
    before = pl.DataFrame(rests, schema=IDLE_SCHEMA, orient="row")
    found = seasonal_periods(idle, before, as_of, peers=peers(sims), periods=periods)
    assert found.schema == pl.Schema(PERIOD_SCHEMA)
    assert found["last_day"].null_count() == found.height
    return dict(found.select("sim_key", "state").iter_rows())


def test_stretches_are_long_rests_and_present_silences() -> None:
    until = AS_OF - DAY * 3
    history = pl.concat(
        [
            used(1, (date(2025, 9, 1), date(2025, 9, 30)), (date(2025, 10, 29), until)),
            used(2, (date(2025, 9, 1), date(2025, 9, 30)), (date(2025, 10, 28), AS_OF - DAY)),
        ]
    )
    assert idle_periods(history, AS_OF).rows() == [(1, date(2025, 10, 1), date(2025, 10, 28)), (1, until + DAY, None)]


def test_a_sim_that_rested_in_the_same_weeks_a_year_before_is_seasonal_until_it_should_be_back() -> None:
    rest = (0, date(2024, 5, 1), date(2024, 11, 12), date(2025, 3, 15))
    assert explained({0: date(2025, 11, 1)}, [rest]) == {0: "seasonal"}
    back = rest[3] + YEAR  # type: ignore[operator]
    assert explained({0: date(2025, 11, 1)}, [rest], as_of=back + DAY * 21) == {0: "seasonal"}
    assert explained({0: date(2025, 11, 1)}, [rest], as_of=back + DAY * 22) == {}
    assert explained({0: date(2025, 9, 1)}, [rest]) == {}  # it fell silent long before its season ends


def test_who_was_exhausted_a_year_before_did_not_rest_with_a_season() -> None:
    rest = (0, date(2024, 5, 1), date(2024, 11, 12), date(2025, 3, 15))
    out = [(0, date(2024, 11, 13), date(2025, 3, 16), "exhausted")]
    assert (
        explained({0: date(2025, 11, 1)}, [rest], periods=pl.DataFrame(out, schema=PERIOD_SCHEMA, orient="row")) == {}
    )


def test_a_device_that_was_active_a_year_before_is_not_explained_whatever_its_peers_do() -> None:
    rests = [(sim, date(2024, 5, 1), date(2024, 11, 12), date(2025, 3, 15)) for sim in range(1, 12)]
    begun = {sim: date(2025, 11, 1) + DAY * sim for sim in range(12)}
    assert set(explained(begun, [*rests, (0, date(2024, 5, 1), None, None)], sims=12)) == set(range(1, 12))


def test_a_young_device_rests_with_its_peers_and_not_without_them() -> None:
    rests = [(sim, date(2024, 5, 1), date(2024, 11, 12), date(2025, 3, 15)) for sim in range(1, 12)]
    begun = {sim: date(2025, 11, 10) for sim in range(12)}
    assert explained(begun, rests, sims=12)[0] == "seasonal_peers"
    assert 0 not in explained(begun, rests, sims=40)  # most of its peers are active
    assert 0 not in explained(begun | {0: date(2025, 9, 1)}, rests, sims=12)  # silent long before them
    young = {sim: date(2025, 11, 10) for sim in (0, 3)}
    assert 0 not in explained(young, [], sims=12)


def test_in_a_young_fleet_a_device_type_that_falls_silent_one_after_another_rests_and_at_once_is_broken() -> None:
    slowly = {sim: date(2025, 11, 1) + DAY * (3 * sim) for sim in range(12)}
    assert set(explained(slowly, [], sims=16).values()) == {"seasonal_peers"}
    assert explained(dict.fromkeys(range(12), date(2025, 11, 1)), [], sims=16) == {}
