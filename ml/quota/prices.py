"""What things cost: the price list as data.

Money is whole minor units (cents) of one currency, without tax. Nothing here is a price of 1NCE's: a list is made from
its products and orders, or from settings where these say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ml.history import BYTES_PER_MB

VERSION = 1
ProductKind = Literal["sim", "top_up", "extension"]
PlanModel = Literal["lifetime", "pool", "pay_as_you_go"]
PRODUCT_KINDS: tuple[str, ...] = get_args(ProductKind)
PLAN_MODELS: tuple[str, ...] = get_args(PlanModel)


class PriceListError(ValueError):
    """A price list with holes, or with what no price can be; the message names what is missing or wrong, and where."""


@dataclass(frozen=True)
class Product:
    """What can be bought for one SIM.

    kind             "sim" (a new card, for a swap), "top_up" or "extension"
    price            minor units, paid once
    volume           bytes it adds; a top-up adds some, an extension none
    validity_months  for how long a card works from its activation, or how much an extension adds; None: for ever, or
                     nothing added
    """

    kind: ProductKind
    price: int
    volume: int = 0
    validity_months: int | None = None
    name: str = ""


@dataclass(frozen=True)
class Plan:
    """A way to pay for a fleet's data.

    lifetime       `one_time` a SIM buys `volume` bytes for `validity_months`; then top-ups
    pool           `recurring` a month and SIM puts `volume` bytes a month into one pool; `per_mb` beyond the pool
    pay_as_you_go  `recurring` a month and SIM, and `per_mb` for each MB
    Prices are minor units; `per_mb` may be a fraction of one.
    """

    model: PlanModel
    one_time: int = 0
    recurring: int = 0
    volume: int = 0
    validity_months: int | None = None
    per_mb: float = 0.0
    name: str = ""


@dataclass(frozen=True)
class PriceList:
    """All prices that decisions rest on. Make one with `PriceList.of`, which checks it.

    outage_day  what a day costs on which a device that would send cannot: a setting, and the reason to buy anything
    handling    what any action costs beside its product: somebody's minutes
    swap_work   what it costs to put another card into a device
    recurring   what each SIM costs a month until it is retired; 0 for a lifetime rate
    plans       ways to pay that are compared (`ml.quota.fleet_view.compare_plans`); the decisions do not use them
    """

    currency: str
    outage_day: int
    products: tuple[Product, ...]
    plans: tuple[Plan, ...] = ()
    handling: int = 0
    swap_work: int = 0
    recurring: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> PriceList:
        """A checked list of JSON-ready values, as `to_dict` gives and as settings hold.

        Needed are currency, outage_day and products with a "top_up"; "sim" and "extension" may be missing: then nothing
        is swapped or extended. Raises PriceListError, naming every hole at once.
        """
        holes = [f"{name} is missing" for name in ("currency", "outage_day", "products") if values.get(name) is None]
        if values.get("version", VERSION) != VERSION:
            holes.append(f"version {values['version']} is not {VERSION}: write the list anew")
        products = _read(values.get("products") or [], "product", ("kind", "price"), PRODUCT_KINDS, "kind", holes)
        plans = _read(values.get("plans") or [], "plan", ("model",), PLAN_MODELS, "model", holes)
        for given in products:
            if given["kind"] == "top_up" and not given.get("volume"):
                holes.append("product top_up: volume is missing")
            if given["kind"] == "extension" and not given.get("validity_months"):
                holes.append("product extension: validity_months is missing")
            if given["kind"] == "sim" and not given.get("volume"):
                holes.append("product sim: volume is missing")
        for given in plans:
            need = {"lifetime": ("one_time", "volume", "validity_months"), "pool": ("recurring", "volume", "per_mb")}
            names = need.get(given["model"], ("per_mb",))
            holes += [f"plan {given['model']}: {name} is missing" for name in names if given.get(name) is None]
        kinds = [given["kind"] for given in products]
        if values.get("products") is not None and "top_up" not in kinds:
            holes.append("product top_up is missing")
        holes += [f"product {kind} is given {kinds.count(kind)} times" for kind in set(kinds) if kinds.count(kind) > 1]
        amounts = {name: values.get(name, 0) for name in ("outage_day", "handling", "swap_work", "recurring")}
        holes += [f"{name} is {amount!r}" for name, amount in amounts.items() if amount is not None and _bad(amount)]
        if holes:
            raise PriceListError(f"the price list cannot be used: {'; '.join(holes)}")
        return cls(
            currency=str(values["currency"]),
            products=tuple(Product(**given) for given in products),
            plans=tuple(Plan(**given) for given in plans),
            **amounts,
        )

    def to_dict(self) -> dict[str, Any]:
        """The list as JSON-ready values."""
        return {"version": VERSION, **asdict(self)}

    def product(self, kind: ProductKind) -> Product | None:
        """The product of a kind, or None where the list has none."""
        return next((product for product in self.products if product.kind == kind), None)

    @property
    def top_up(self) -> Product:
        """The top-up, which a checked list always has."""
        found = self.product("top_up")
        if found is None:
            raise PriceListError("the price list cannot be used: product top_up is missing")
        return found

    @property
    def per_mb(self) -> float:
        """Minor units a MB, bought by top-ups."""
        return self.top_up.price / self.top_up.volume * BYTES_PER_MB


def _bad(amount: Any) -> bool:
    return isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < float("inf")


def _read(
    rows: Any, what: str, needed: tuple[str, ...], words: tuple[str, ...], word: str, holes: list[str]
) -> list[dict[str, Any]]:
    """The rows that can be read at all; what is wrong with them is added to `holes`."""
    known = set(Product.__dataclass_fields__ if what == "product" else Plan.__dataclass_fields__)
    good = []
    for place, row in enumerate(rows, 1):
        name = f"{what} {row.get(word) or place}"
        before = len(holes)
        holes += [f"{name}: {column} is missing" for column in needed if row.get(column) is None]
        if row.get(word) is not None and row[word] not in words:
            holes.append(f"{name}: {word} is none of {', '.join(words)}")
        holes += [f"{name}: nobody knows {column}" for column in sorted(set(row) - known)]
        numbers = {column: row[column] for column in row if column not in (word, "name") and row[column] is not None}
        holes += [f"{name}: {column} is {value!r}" for column, value in numbers.items() if _bad(value)]
        if len(holes) == before:
            good.append(dict(row))
    return good
