"""What is known of one SIM, as plain values: for `simsight sim`."""

from __future__ import annotations

import re
from typing import Any

from resources.database.session import Database
from resources.errors import UsageError
from resources.once.values import without_check_digit

USAGE_DAYS = 30
ROWS = 10


class UnknownSimError(UsageError):
    """No SIM, or more than one, is meant by a name."""


def sim_overview(database: Database, name: str) -> dict[str, Any]:
    """What the lists, observations, predictions and rules say of the SIM with an ICCID (19 or 20 digits) or a label.

    Gives the SIM's own values, `prediction` and `churn` (the latest, or None), `usage_sources` (of the last 30 days
    with usage, by source and grade), `open_alerts` and `anomalies` (newest first, at most 10 each).
    Raises UnknownSimError, which names the SIMs where several have the label.
    """
    if re.fullmatch("[0-9]{20}", name, re.ASCII):
        try:
            name = without_check_digit(name)
        except ValueError as error:
            raise UnknownSimError(f"{name}: {error}") from None
    with database.transaction() as transaction:
        found = transaction.rows("sims_named", {"name": name, "rows": ROWS + 1})
        if not found:
            raise UnknownSimError(
                f"there is no SIM with ICCID or label {name!r} in this organization; "
                "`simsight export sims --to sims.csv` lists those there are"
            )
        if len(found) > 1:
            some = ", ".join(row["iccid"] for row in found[:ROWS]) + (", ..." if len(found) > ROWS else "")
            raise UnknownSimError(f"several SIMs have the label {name!r}: give the ICCID of one, {some}")
        about = {"iccid": found[0]["iccid"]}
        return found[0] | {
            "prediction": transaction.row("sim_prediction", about),
            "churn": transaction.row("sim_churn", about),
            "usage_sources": transaction.rows("sim_usage_sources", about | {"days": USAGE_DAYS}),
            "open_alerts": transaction.rows("sim_open_alerts", about | {"rows": ROWS}),
            "anomalies": transaction.rows("sim_anomalies", about | {"rows": ROWS}),
        }
