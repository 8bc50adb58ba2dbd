"""Values that are kept in the database as bytes come back as they were, and what is no value is refused."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from services.packing import pack, unpack


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": [1, 2.5, None, True, "Straße"], "b": (date(2026, 1, 2), datetime(2026, 1, 2, 3, tzinfo=UTC))},
        {("x", 3): float("inf"), "nested": {"deep": [(), []]}},
        1e-300,
        2**60,
    ],
)
def test_plain_values_come_back_with_their_types(value: Any) -> None:
    back = unpack(pack(value))
    assert back == value
    assert repr(back) == repr(value)


def test_arrays_scalars_and_frames_come_back_with_their_types() -> None:
    frame = pl.DataFrame(
        {"sim_key": [1, 2], "day": [date(2026, 1, 1), None], "places": [["DE"], []]},
        schema={"sim_key": pl.Int32, "day": pl.Date, "places": pl.List(pl.String)},
    )
    value = {
        "nan": np.array([[1.5, np.nan]], np.float32),
        "none": np.empty((0, 3)),
        "names": np.array(["", "meter"]),
        "one": np.float32(0.1),
        np.str_("key"): (3, frame, frame.clear()),
    }
    back = unpack(pack(value))
    for name in ("nan", "none", "names"):
        np.testing.assert_array_equal(back[name], value[name])
        assert back[name].dtype == value[name].dtype
    assert (back["one"], type(back["one"])) == (value["one"], np.float32)
    number, whole, empty = back["key"]
    assert number == 3
    assert whole.equals(frame)
    assert empty.schema == frame.schema


@pytest.mark.parametrize("value", [object(), {1, 2}, {"deep": [print]}, np.array([object()])])
def test_what_is_no_value_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        pack(value)
