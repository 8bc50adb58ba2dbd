"""`simsight sim`: one SIM at a glance."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ml import words
from pipelines.cli.common import AsJson, console, opened, print_rows

app = typer.Typer()
GRADES = {"A": "exact", "B": "known", "C": "only the sum of some days is known"}


@app.command()
def sim(
    name: Annotated[str, typer.Argument(metavar="ICCID|LABEL", help="Its ICCID (19 or 20 digits) or its label.")],
    as_json: AsJson = False,
) -> None:
    """What is known of one SIM: volume, last use, country, end, churn, open alerts, anomalies, sources of its usage."""
    from services.sim_overview import USAGE_DAYS, sim_overview

    with opened() as runtime:
        found = sim_overview(runtime.database, name)
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=_plain))
        return
    for key in ("iccid", "label", "status", "state", "imei", "msisdn", "ip_address", "activated_at", "country"):
        _line(key.replace("_", " "), found[key])
    _line("last used on", found["last_used_on"])
    _line("remaining MB when 1NCE was last asked", _volume(found["remaining_mb"], found["quota_total_mb"]))
    _line("end", _end(found["prediction"]))
    _line("leaves", _leaves(found["churn"]))
    console.print(f"usage of its last {USAGE_DAYS} days:")
    rows = [row | {"meaning": GRADES.get(row["grade"], "")} for row in found["usage_sources"]]
    print_rows(rows, ["source", "grade", "meaning", "days", "last_day", "mb"], as_json=False, none="  none is stored")
    console.print("open alerts:")
    columns = ["alert_id", "opened_as_of", "kind", "severity", "state", "message"]
    print_rows(found["open_alerts"], columns, as_json=False, none="  none")
    console.print("anomalies:")
    print_rows(found["anomalies"], ["day", "kind", "severity", "reasons"], as_json=False, none="  none")


def _line(name: str, value: Any) -> None:
    console.print(f"{name}: {'-' if value is None or value == '' else value}", markup=False)


def _volume(left: Any, total: Any) -> str | None:
    if left is None:
        return None
    shown = [words.megabytes(float(volume) * words.BYTES_PER_MB) for volume in (left, total) if volume is not None]
    return " of ".join(shown)


def _end(prediction: dict[str, Any] | None) -> str:
    if prediction is None:
        return "not predicted yet"
    known = f"as of {prediction['as_of']}, {prediction['model_name']} {prediction['model_version']}"
    if prediction["status"] in ("exhausted", "expired"):
        return f"{prediction['status']} already ({known})"
    if prediction["p50_date"] is None:
        expiry = f"; expires on {prediction['expires_on']}" if prediction["expires_on"] else ""
        return f"no date ({prediction['status'].replace('_', ' ')}{expiry}; {known})"
    span = words.span(prediction["p10_date"], prediction["p90_date"], as_of=prediction["as_of"])
    return f"{words.day(prediction['p50_date'])} by {prediction['cause']}, 80 % interval {span} ({known})"


def _leaves(churn: dict[str, Any] | None) -> str:
    if churn is None:
        return "no risk is known"
    starter = f". {words.STARTER_CHURN}" if churn["learnt_from"] != "the fleet" else ""
    return (
        f"within 90 days with {words.percent(churn['p_90'])} ({churn['risk_level']}), likeliest "
        f"{churn['cause'].replace('_', ' ')}: {churn['reasons']} "
        f"(as of {churn['as_of']}, {churn['model_name']} {churn['model_version']}){starter}"
    )


def _plain(value: Any) -> Any:
    from decimal import Decimal

    return float(value) if isinstance(value, Decimal) else str(value)
