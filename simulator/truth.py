"""What was put into a fleet on purpose: for scoring, never for a model to read, and on no route."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from simulator.account import SimCards
from simulator.catalog import ARCHETYPES, DEVICES
from simulator.fleet import Fleet
from simulator.hashing import WINDOW, Ints
from simulator.injected_anomalies import NAMES, injected_anomalies
from simulator.ledger import DAY_SECONDS, Periods, moment
from simulator.orders_tickets import BackOffice


def truth(fleet: Fleet, days: int = 365) -> dict[str, Any]:
    """What was put into the fleet on purpose, over `days` days from the start; for scoring, never for a model to read.

    `sims` by ICCID: traits and dates, `platform2` (whether it is on Platform 2.0), `topups`, `exhausted` (data) and
    `exhausted_sms` days, `churn` (days of fading), `death`, `swap` (the day its device moved to
    another SIM, of scenario "ends"), and `anomalies` with kind (spike, silence, runaway,
    firmware_loop; in a fleet of scenario "all" also drift, sms_flood, flapping, imei_change, unexpected_country,
    unexpected_operator, unusual_hours), days (inclusive)
    and `visible`, which is false when the SIM was without service all the while. `clean` SIMs have none of these but
    top-ups and exhaustion. `tickets`: case, category, priority, ICCID.
    """
    last = fleet.start.toordinal() + days - 1
    cards, demand = SimCards(fleet), fleet.demand
    ledger = fleet.ledger(np.arange(fleet.sims), last)
    anomalies = _anomalies(fleet, ledger.data, last)

    def days_of(ticks: Ints) -> list[str]:
        return [_iso(int(t) // DAY_SECONDS) for t in ticks if t < (last + 1) * DAY_SECONDS]

    sims = {}
    for i, iccid in enumerate(fleet.iccids):
        churns, dies = (day[i] < min(last + 1, demand.expiry[i]) for day in (demand.churn_first, demand.death))
        swapped = demand.swap[i] < min(last + 1, demand.expiry[i])
        sims[iccid] = {
            "label": cards.label(i),
            "site": int(demand.site[i]),
            "archetype": ARCHETYPES[demand.archetype[i]].name,
            "device_type": DEVICES[demand.device[i]][0],
            "platform2": bool(fleet.platform2[i]),
            "activation": _iso(demand.activation[i]),
            "expiry": _iso(demand.expiry[i]),
            "auto_topup": bool(fleet.auto_topup[i]),
            "topups": days_of(ledger.data.credit_at[i, 1:]),
            "exhausted": days_of(ledger.data.exceeded_at[i]),
            "exhausted_sms": days_of(ledger.sms.exceeded_at[i]),
            "churn": {"first_day": _iso(demand.churn_first[i]), "last_day": _iso(demand.churn_last[i])}
            if churns
            else None,
            "death": _iso(demand.death[i]) if dies else None,
            **({"swap": _iso(demand.swap[i])} if swapped else {}),
            "anomalies": anomalies.get(i, []),
            "clean": not (churns or dies or swapped or i in anomalies),
        }
    tickets = BackOffice(cards).ticket_truth(moment((last + 1) * DAY_SECONDS - 1))
    facts = {"synthetic": True, "seed": fleet.seed, "start": fleet.start.isoformat(), "days": days}
    return facts | {"sims": sims, "tickets": tickets}


def _anomalies(fleet: Fleet, data: Periods, through: int) -> dict[int, list[dict[str, Any]]]:
    """The passing anomalies that begin up to day `through`, by SIM, in order of time."""
    demand, everyone = fleet.demand, np.arange(fleet.sims)
    found = [("firmware_loop", everyone, demand.loop_first, demand.loop_last)]
    for window in range((through - demand.start) // WINDOW + 1):
        injected = demand.injections(everyone, window)
        for kind, name in ((1, "spike"), (2, "silence"), (3, "runaway")):
            at = np.flatnonzero(injected.kind == kind)
            found.append((name, at, injected.first[at], injected.last[at]))
        further = injected_anomalies(demand, everyone, window)
        for kind, name in NAMES.items():
            at = np.flatnonzero(further.kind == kind)
            found.append((name, at, further.first[at], further.last[at]))
    anomalies: dict[int, list[dict[str, Any]]] = {}
    for name, rows, first, last in found:
        without = (data.exhausted_from[rows] < first[:, None]) & (data.exhausted_until[rows] > last[:, None])
        visible = ~np.any(without, axis=1)
        for k in np.flatnonzero(first <= through):
            entry = {
                "kind": name,
                "first_day": _iso(first[k]),
                "last_day": _iso(last[k]),
                "visible": bool(visible[k]),
            }
            anomalies.setdefault(int(rows[k]), []).append(entry)
    return {i: sorted(entries, key=lambda entry: entry["first_day"]) for i, entries in anomalies.items()}


def daily_usage(fleet: Fleet, first_day: date, last_day: date) -> pl.DataFrame:
    """What the daily usage call says of closed days: one row a SIM and day with traffic, by SIM, then day.

    Columns: iccid (text), day (date), bytes and bytes_rx (accounting bytes, Int64), sms_mt and sms_mo (messages,
    Int64).
    """
    used = fleet.usage(np.arange(fleet.sims), first_day, last_day)
    which, day = np.nonzero(used.volume + used.sms_mt + used.sms_mo)
    columns = {"bytes": used.volume, "bytes_rx": used.rx, "sms_mt": used.sms_mt, "sms_mo": used.sms_mo}
    days = (first_day.toordinal() - date(1970, 1, 1).toordinal() + day).astype("M8[D]")
    return pl.DataFrame(
        {"iccid": np.array(fleet.iccids)[which].tolist(), "day": days}
        | {name: column[which, day] for name, column in columns.items()}
    )


def write_truth(fleet: Fleet, path: str | Path, days: int = 365) -> None:
    """Write `truth` to a JSON file."""
    Path(path).write_text(json.dumps(truth(fleet, days), indent=1) + "\n", encoding="utf-8")


def _iso(day: int) -> str:
    return date.fromordinal(int(day)).isoformat()
