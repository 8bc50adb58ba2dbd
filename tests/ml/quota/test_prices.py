"""A price list is checked as a whole, and says what it lacks."""

from __future__ import annotations

from typing import Any

import pytest

from ml.quota.prices import PriceList, PriceListError
from tests.ml.quota.cases import LIST, PACK, PRICES


def test_a_list_goes_through_its_saved_form() -> None:
    assert PriceList.of(LIST.to_dict()) == LIST
    assert LIST.per_mb == 2.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"currency": None}, "currency is missing"),
        ({"outage_day": None}, "outage_day is missing"),
        ({"outage_day": -1}, "outage_day is -1"),
        ({"outage_day": float("nan")}, "outage_day is nan"),
        ({"products": None}, "products is missing"),
        ({"products": []}, "product top_up is missing"),
        ({"products": [{"kind": "top_up", "price": 1000}]}, "product top_up: volume is missing"),
        ({"products": [{"kind": "top_up", "volume": PACK}]}, "product top_up: price is missing"),
        ({"products": [*PRICES["products"], {"kind": "top_up", "price": 1, "volume": 1}]}, "top_up is given 2 times"),
        ({"products": [*PRICES["products"], {"kind": "rocket", "price": 1}]}, "kind is none of sim, top_up, extension"),
        ({"plans": [{"model": "pool", "volume": 1, "recurring": 5}]}, "plan pool: per_mb is missing"),
        ({"plans": [{"model": "lifetime", "one_time": 1, "volume": 1}]}, "plan lifetime: validity_months is missing"),
        ({"version": 9}, "version 9 is not 1"),
    ],
)
def test_a_hole_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(PriceListError, match=r"the price list cannot be used") as caught:
        PriceList.of(PRICES | change)
    assert said in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_all_holes_are_named_at_once() -> None:
    with pytest.raises(PriceListError) as caught:
        PriceList.of({})
    assert all(name in str(caught.value) for name in ("currency", "outage_day", "products"))
