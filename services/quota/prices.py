"""The price list: what 1NCE sells to the account, with settings where that says nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import polars as pl

from ml.history import BYTES_PER_MB
from ml.quota.prices import PriceList, PriceListError
from resources.database.session import Database, Transaction
from resources.settings import Settings

SOLD_SCHEMA = {
    "product_id": pl.Int32,
    "name": pl.String,
    "one_time_minor": pl.Int64,
    "recurring_minor": pl.Int64,
    "currency": pl.String,
    "ordered": pl.Int64,
    "ordered_minor": pl.Int64,
    "ordered_currency": pl.String,
}
UNITS = {"kb": 1e-3, "mb": 1, "gb": 1e3, "tb": 1e6}


@dataclass(frozen=True)
class KnownPrices:
    """The price list there is.

    prices   None where it has holes
    problem  what the holes are, and how to fill them; empty where there is a list
    notes    what was assumed, or left out, in sentences
    """

    prices: PriceList | None
    problem: str
    notes: tuple[str, ...]


def load_prices(database: Database | Transaction, settings: Settings) -> KnownPrices:
    """The price list of the account: of its products, its orders and the settings. Never raises for what lacks."""
    return price_list(database.frame("products_sold", SOLD_SCHEMA), settings)


def price_list(sold: pl.DataFrame, settings: Settings) -> KnownPrices:
    """The price list of what is sold (SOLD_SCHEMA) and of the settings.

    A product is a top-up, an extension or a card by its name, which also says volume and validity; of several of a kind
    the one that was ordered most counts, then the cheapest. The file SIMSIGHT_PRICES has the last word.
    """
    notes: list[str] = []
    values = _of_products(sold, settings, notes)
    values |= {
        "outage_day": round(100 * settings.outage_day),
        "handling": round(100 * settings.handling),
        "swap_work": round(100 * settings.swap_work),
    }
    try:
        given = _of_file(settings)
        products = {one["kind"]: one for one in values["products"]}
        products |= {one.get("kind", place): one for place, one in enumerate(given.pop("products", []))}
        values |= given | {"products": list(products.values())}
        prices = PriceList.of(values)
    except (PriceListError, TypeError, AttributeError) as error:
        problem = str(error) if isinstance(error, PriceListError) else "the file of SIMSIGHT_PRICES is no price list"
        hint = "run `simsight ingest` so that products are known, or name a file with SIMSIGHT_PRICES (docs/models.md)"
        return KnownPrices(None, f"{problem}; {hint}", tuple(notes))
    for kind, effect in (("sim", "swapped"), ("extension", "extended")):
        if prices.product("sim" if kind == "sim" else "extension") is None:
            notes.append(f"No price of {'a card' if kind == 'sim' else 'an extension'} is known: nothing is {effect}.")
    return KnownPrices(prices, "", tuple(notes))


def _of_file(settings: Settings) -> dict[str, Any]:
    """What the file of SIMSIGHT_PRICES says; raises PriceListError where it cannot be read."""
    if settings.prices is None:
        return {}
    try:
        found = json.loads(settings.prices.read_text())
    except (OSError, ValueError) as error:
        why = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise PriceListError(f"the price list {settings.prices} cannot be read ({why})") from None
    if not isinstance(found, dict) or not isinstance(found.get("products", []), list):
        raise PriceListError(f"the price list {settings.prices} is no JSON object with a list of products")
    return found


def _of_products(sold: pl.DataFrame, settings: Settings, notes: list[str]) -> dict[str, Any]:
    """currency, recurring, products and plans as far as products and orders say them."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for row in sold.iter_rows(named=True):
        if kind := kind_of(row["name"]):
            by_kind.setdefault(kind, []).append(row)
    chosen = {
        kind: min(rows, key=lambda row: (-row["ordered"], row["one_time_minor"] or 0, row["product_id"]))
        for kind, rows in by_kind.items()
    }
    currency = next((_priced(chosen[kind])[1] for kind in ("top_up", "sim", "extension") if kind in chosen), None)
    products, recurring = [], 0
    for kind, row in chosen.items():
        price, in_currency = _priced(row)
        if in_currency != currency and price is not None:
            notes.append(f"{row['name']} is left out: its price is in {in_currency} and not in {currency}.")
            continue
        if row["one_time_minor"] is None and price is not None:
            notes.append(f"The price of {row['name']} is that of its newest order.")
        volume = 0 if kind == "extension" else volume_of(row["name"])
        months = months_of(row["name"])
        if volume is None:
            volume = round(settings.sim_mb * BYTES_PER_MB)
            notes.append(f"{row['name']} does not say its volume: {settings.sim_mb:g} MB are assumed.")
        if months is None and kind != "top_up":
            months = settings.sim_months
            notes.append(f"{row['name']} does not say for how long it works: {months} months are assumed.")
        one = {"kind": kind, "name": row["name"], "price": price, "volume": volume}
        products.append(one | {"validity_months": None if kind == "top_up" else months})
        recurring = row["recurring_minor"] or 0 if kind == "sim" else recurring
    plans = [
        {
            "model": "lifetime",
            "name": one["name"],
            "one_time": one["price"],
            "recurring": recurring,
            "volume": one["volume"],
            "validity_months": one["validity_months"],
        }
        for one in products
        if one["kind"] == "sim" and one["price"] is not None
    ]
    # a card or an extension without a price is no hole: nothing is swapped or extended then
    known = [one for one in products if one["kind"] == "top_up" or one["price"] is not None]
    return {"currency": currency, "recurring": recurring, "products": known, "plans": plans}


def _priced(row: dict[str, Any]) -> tuple[int | None, str | None]:
    """Price and currency of a product, or of its newest order."""
    if row["one_time_minor"] is not None:
        return row["one_time_minor"], row["currency"]
    return row["ordered_minor"], row["ordered_currency"] or row["currency"]


def kind_of(name: str) -> str | None:
    """What a product is by its name; None for anything else."""
    if re.search(r"top[ -]?up", name, re.IGNORECASE):
        return "top_up"
    if re.search(r"exten[ds]", name, re.IGNORECASE):
        return "extension"
    return "sim" if re.search(r"sim\b", name, re.IGNORECASE) else None


def volume_of(name: str) -> int | None:
    """Bytes that a product adds, by its name ("Top Up 500 MB")."""
    found = re.search(r"(\d+(?:[.,]\d+)?)\s*([KMGT]B)\b", name, re.IGNORECASE)
    return round(float(found[1].replace(",", ".")) * UNITS[found[2].lower()] * BYTES_PER_MB) if found else None


def months_of(name: str) -> int | None:
    """For how many months a product works, by its name ("10 years")."""
    found = re.search(r"(\d+)[ -]*(year|month)", name, re.IGNORECASE)
    return int(found[1]) * (12 if found[2].lower() == "year" else 1) if found else None
