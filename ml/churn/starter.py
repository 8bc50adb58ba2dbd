"""The starter model: a hazard learnt from simulated fleets, for a simulated fleet that is too young for its own.

It is synthetic through and through and knows how the simulator's SIMs end, not how real ones do: no real fleet may be
scored with it. `python -m benchmarks.churn --starter --write` makes it anew.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

FILE = "starter_hazard.json"
STARTER = "starter"  # among the facts of the model: what it is and how it did on other simulated fleets


def starter_hazard() -> dict[str, Any]:
    """The starter model in its saved form (`ml.churn.hazard.Hazard.to_dict`)."""
    values: dict[str, Any] = json.loads((files("ml.churn") / FILE).read_text("utf-8"))
    return values
