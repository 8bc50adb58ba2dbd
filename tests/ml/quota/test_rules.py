"""The plain rules, as they are worded."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.history import BYTES_PER_MB
from ml.quota.rules import plain_rules

AS_OF = date(2026, 6, 30)


def history(daily: list[list[int]], first_key: int = 1) -> pl.DataFrame:
    """One SIM a list: bytes of consecutive days that end on AS_OF."""
    return pl.DataFrame(
        [
            (key, AS_OF - timedelta(days=len(days) - 1 - k), used)
            for key, days in enumerate(daily, first_key)
            for k, used in enumerate(days)
        ],
        schema={"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64},
        orient="row",
    )


def verdicts(daily: list[list[int]], quotas: list[int | None]) -> pl.DataFrame:
    frame = pl.DataFrame({"sim_key": range(1, len(quotas) + 1), "quota": quotas}, schema_overrides={"quota": pl.Int64})
    return plain_rules(history(daily), frame, as_of=AS_OF, price_per_mb=2.0)


def test_the_rules_are_as_worded() -> None:
    mb = BYTES_PER_MB
    found = verdicts([[mb] * 90, [mb] * 90, [mb] * 90, [mb] * 89, [mb] * 90], [100 * mb, 31 * mb, 50 * mb, mb, None])
    assert found["verdict"].to_list() == ["downgrade", "upgrade", "keep", "not_enough_history", "no_quota"]
    assert found["proposed"].to_list()[:3] == [36 * mb, 39 * mb, 50 * mb]
    assert found["saving"].to_list()[:3] == [pytest.approx(128.0), pytest.approx(-16.0), 0.0]


def test_a_month_is_thirty_days_in_a_row_and_not_thirty_times_a_busy_day() -> None:
    daily = [0] * 90
    daily[::10] = [10 * BYTES_PER_MB] * 9
    found = verdicts([daily], [100 * BYTES_PER_MB])
    assert found["p95_month"][0] == 30 * BYTES_PER_MB
    assert float(np.quantile(daily, 0.95)) * 30 == 300 * BYTES_PER_MB


def test_an_unknown_day_is_no_day_without_use() -> None:
    rows = history([[BYTES_PER_MB] * 90])
    unknown = rows.with_columns(
        pl.when(pl.col("day") > AS_OF - timedelta(days=20)).then(None).otherwise(pl.col("bytes")).alias("bytes")
    )
    quotas = pl.DataFrame({"sim_key": [1], "quota": [50 * BYTES_PER_MB]})
    found = plain_rules(unknown, quotas, as_of=AS_OF, price_per_mb=1)
    assert found["average_month"][0] == pytest.approx(30 * BYTES_PER_MB)


@settings(max_examples=30, deadline=None)
@given(
    daily=st.lists(st.one_of(st.just(0), st.integers(0, 10**9)), min_size=90, max_size=90),
    quota=st.integers(0, 10**10),
)
def test_a_downgrade_is_never_to_more_than_now_and_an_upgrade_never_to_less(daily: list[int], quota: int) -> None:
    row = verdicts([daily], [quota]).row(0, named=True)
    if row["verdict"] == "downgrade":
        assert row["proposed"] < quota
        assert row["saving"] > 0
    elif row["verdict"] == "upgrade":
        assert row["proposed"] > quota
    else:
        assert row["proposed"] == quota
    windows = [sum(daily[k : k + 30]) for k in range(61)]
    assert row["p95_month"] == pytest.approx(float(np.quantile(windows, 0.95)))
    assert row["average_month"] == pytest.approx(sum(daily) / 3)


def test_quotas_without_their_column_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="quotas lack the column"):
        plain_rules(history([[1]]), pl.DataFrame({"sim_key": [1]}), as_of=AS_OF, price_per_mb=1)
