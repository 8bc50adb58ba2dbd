"""What moves the risk that a SIM leaves, as bars with words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from api.dashboard.web import figure
from ml.words import CHURN_FACTS, churn_fact

GERMAN_FACTS: Mapping[str, tuple[str, str]] = {
    "days_since_activity": ("ihr letztes Lebenszeichen", "seit {:.0f} Tagen war nichts von ihr zu hören"),
    "gap_share": ("ihre Stille", "ihre Stille ist bei {:.0%} der längsten üblichen"),
    "active_7": ("ihre Aktivität in den letzten 7 Tagen", "sie war an {:.0%} der letzten 7 Tage aktiv"),
    "active_30": ("ihre Aktivität in den letzten 30 Tagen", "sie war an {:.0%} der letzten 30 Tage aktiv"),
    "active_change": (
        "die Änderung ihres Anteils aktiver Tage",
        "ihr Anteil aktiver Tage änderte sich um {:+.0%} gegenüber den 60 Tagen davor",
    ),
    "spread_30": ("die Streuung ihrer Tage", "ihre Tage schwanken um das {:.1f}-fache ihres Mittels"),
    "trend_7": ("ihr Verbrauch der letzten Woche", "ihr Verbrauch der letzten Woche ist bei {:.0%} dessen des Monats"),
    "trend_30": (
        "ihr Verbrauch des letzten Monats",
        "ihr Verbrauch des letzten Monats ist bei {:.0%} dessen der zwei Monate davor",
    ),
    "usual_gap": ("wie oft sie sich meldet", "sie meldet sich längstens alle {:.0f} Tage"),
    "use_30": ("ihr täglicher Verbrauch", "sie verbraucht {:,.1f} kB am Tag"),
    "age_days": ("ihre Zeit in Betrieb", "sie ist seit {:.0f} Tagen in Betrieb"),
    "group_gone": ("wie viele ihres Orts fort sind", "{:.0%} der SIMs ihres Orts sind fort oder still"),
    "group_trend": (
        "der Verbrauch der anderen SIMs ihres Orts",
        "der Verbrauch der anderen SIMs ihres Orts ist bei {:.0%} dessen des Monats",
    ),
    "group_size": ("die Größe ihres Orts", "an ihrem Ort sind {:.0f} andere SIMs"),
    "quota_used": ("der Verbrauch ihres Volumens", "{:.0%} ihres Volumens sind verbraucht"),
    "days_to_expiry": ("ihr Ablauf", "sie läuft in {:.0f} Tagen ab"),
    "sessions_30": ("die Zahl ihrer Sitzungen", "sie öffnet {:.1f} Sitzungen am Tag"),
    "empty_share_30": ("ihr Anteil leerer Sitzungen", "{:.0%} ihrer Sitzungen übertrugen nichts"),
    "quality_30": ("ihre Verbindungsgüte", "ihre Verbindungsgüte ist {:.0%}"),
    "quality_change": ("die Änderung ihrer Verbindungsgüte", "ihre Verbindungsgüte änderte sich um {:+.0%}"),
    "tickets_90": ("ihre Tickets", "{:.0f} Tickets zu ihr in 90 Tagen"),
    "anomaly_days_30": ("ihre auffälligen Tage in 30 Tagen", "{:.0f} auffällige Tage in 30 Tagen"),
    "anomaly_days_90": ("ihre auffälligen Tage in 90 Tagen", "{:.0f} auffällige Tage in 90 Tagen"),
    "device_type": ("ihr Gerätetyp", "ihr Gerätetyp ist {}"),
    "peer_group": ("ihre Vergleichsgruppe", "ihre Vergleichsgruppe ist {}"),
}
HALF = 50.0  # of a bar, to either side


def contribution_bars(contributions: Iterable[Mapping[str, Any]], to: str) -> list[dict[str, Any]]:
    """words, log_odds, odds (by how much the odds are multiplied) and the bar's left end and width, of 0 to 100, for
    each contribution of `predictions.churn_risks_v1`. to: en or de"""
    shown = list(contributions)
    most = max((abs(one["log_odds"]) for one in shown), default=0.0) or 1.0
    facts, unknown = (GERMAN_FACTS, "{} ist nicht bekannt") if to == "de" else (CHURN_FACTS, "{} is not known")
    bars = []
    for one in shown:
        width = HALF * abs(one["log_odds"]) / most
        said = churn_fact(one["feature"], one["value"], facts, unknown)
        bars.append(
            {
                "words": re.sub(r"[\d.,]*\d", lambda found: figure(found[0], to), said),
                "log_odds": one["log_odds"],
                "odds": math.exp(one["log_odds"]),
                "left": HALF if one["log_odds"] > 0 else HALF - width,
                "width": width,
            }
        )
    return bars
