"""The text of messages about alerts and of those that bring reports, and when a failed one is tried again.

Pure: no network, clock or random number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ml.plain_text import one_line, printable
from resources.attachments import Attachment
from resources.channels import Message
from resources.files.formats import REPORT_MEDIA_TYPES

MAX_ATTEMPTS = 8  # over about an hour
FIRST_RETRY_S = 30.0
MAX_RETRY_S = 3600.0
MAX_ALERTS_IN_TEXT = 20
MAX_ATTACHED_BYTES = 15_000_000  # mail servers take about 25 MB, and an attachment grows by a third
# by kind of alert, what a person does next
ADVICE = {
    "exhaustion": "how much is left and what uses it; top the SIM up, or order a replacement, before the date.",
    "quota_80": "what the SIM used last; top it up before nothing is left.",
    "silent": "whether the device has power and a network; then reset its connection in the 1NCE portal.",
    "incident": "what the SIMs have in common: a network, a place, a kind of device or its software.",
    "anomaly": "whether the device was changed or moved; if all is well, say so: simsight feedback --help.",
    "rule": "the condition of the rule: simsight rules list.",
}


def retry_after(attempts: int, chance: float) -> timedelta:
    """How long to wait after the attempt of that number failed. The wait doubles from 30 s to 1 h.

    chance   0 to 1; decides the upper half of the wait
    """
    longest = min(MAX_RETRY_S, FIRST_RETRY_S * 2.0 ** (max(attempts, 1) - 1))
    return timedelta(seconds=longest * (0.5 + 0.5 * chance))


def compose(
    notification: Mapping[str, Any],
    alerts: Sequence[Mapping[str, Any]],
    *,
    organization: str,
    data_note: str,
    counts: Mapping[str, int] | None = None,
    api_url: str = "",
) -> Message:
    """Write the message of a notification in the outbox.

    notification   stage, severity, delivery_key, created_at
    alerts         the first of its alerts; `of` on each says how many there are
    counts         of a digest: how many were opened and resolved in its time
    api_url        where the HTTP service is reached, for links; none where empty
    """
    many = int(alerts[0]["of"]) if alerts else 0
    stage, severity = str(notification["stage"]), str(notification["severity"])
    if counts is not None:
        title = f"Alerts: {many} open, {counts['opened']} new, {counts['resolved']} resolved"
    elif many == 1:
        title = f"[{severity}] {_stage(stage)}{_subject(alerts[0])}: {alerts[0]['message']}"
    else:
        title = f"[{severity}] {_stage(stage)}{many} alerts: {_common(alerts)}"
    lines = [
        f"- {_subject(alert)}: {alert['message']} (alert {alert['alert_id']}, {alert['severity']}, {_since(alert)})"
        for alert in alerts[:MAX_ALERTS_IN_TEXT]
    ]
    if many > MAX_ALERTS_IN_TEXT:
        lines.append(f"... and {many - MAX_ALERTS_IN_TEXT} more: simsight alerts list")
    lines = [printable(line) for line in lines]
    if alerts:
        lines += ["", *_next_steps(alerts, stage, api_url)]
    if data_note:
        lines.append(f"Note on the data: {data_note}.")
    values = {
        "id": str(notification["delivery_key"]),
        "type": f"alert.{_type(stage)}",
        "organization": organization,
        "data_note": data_note,
        "created_at": _plain(notification["created_at"]),
        "severity": severity,
        "title": one_line(title, 200),
        "count": many,
        "alerts": [{name: _plain(value) for name, value in alert.items() if name != "of"} for alert in alerts],
    }
    title = one_line(title, 200)  # a label may hold anything, a line feed would end a mail's header
    return Message(str(notification["delivery_key"]), title, "\n".join(lines) or "No alert is open.", values)


def report_message(
    notification: Mapping[str, Any],
    report: Mapping[str, Any],
    files: Sequence[Mapping[str, Any]],
    *,
    organization: str,
    api_url: str = "",
) -> Message:
    """Write the message that brings a report of a period; a mail has its files, other channels say where they are.

    report   report_id, name, first_day, last_day, as_of, label, country, data_note, reading
    files    format, file_name, content
    """
    first, last = report["first_day"], report["last_day"]
    period = str(first) if first == last else f"{first} to {last}"
    note = f" ({report['data_note']})" if report["data_note"] else ""
    chosen = [f"label beginning with {report['label']}"] if report["label"] else []
    chosen += [f"last seen in {report['country']}"] if report["country"] else []
    lines = [str(report["reading"]), f"Organization: {organization}. Period: {period} (UTC days)."]
    lines += [f"Only SIMs: {', '.join(chosen)}."] if chosen else []
    small = sum(len(file["content"]) for file in files) <= MAX_ATTACHED_BYTES
    if not small:
        lines.append("Its files are too large for a mail.")
    lines.append(f"It is kept as number {report['report_id']}: simsight reports get {report['report_id']}")
    href = f"{api_url.rstrip('/')}/v1/reports/kept/{report['report_id']}" if api_url else ""
    if href:
        lines += [f"{file['format']}: {href}?format={file['format']}" for file in files]
    if report["data_note"]:
        lines.append(f"Note on the data: {report['data_note']}.")
    key, title = str(notification["delivery_key"]), one_line(f"Report {report['name']}: {period}{note}", 200)
    values = {
        "id": key,
        "type": "report",
        "organization": organization,
        "data_note": report["data_note"],
        "created_at": _plain(notification["created_at"]),
        "title": title,
        "count": 0,
        "alerts": [],
        "report": {name: _plain(value) for name, value in report.items()}
        | {"formats": [file["format"] for file in files], "href": href},
    }
    attached = tuple(
        Attachment(str(file["file_name"]), REPORT_MEDIA_TYPES[file["format"]], bytes(file["content"])) for file in files
    )
    return Message(key, title, "\n".join(printable(line) for line in lines), values, attached if small else ())


def channel_test_message(key: str, *, organization: str, channel: str, now: datetime) -> Message:
    """Write the message that `simsight channels test` sends."""
    title = f"Simsight: test of the channel {channel}"
    text = f"This channel works. It was tested for the organization {organization}; no alert is behind it."
    values = {"id": key, "type": "test", "organization": organization, "created_at": now.isoformat(), "title": title}
    return Message(key, title, text, values | {"count": 0, "alerts": []})


def _since(alert: Mapping[str, Any]) -> str:
    return f"{'was open' if alert['closed_at'] else 'open'} since {alert['opened_as_of']}"


def _next_steps(alerts: Sequence[Mapping[str, Any]], stage: str, api_url: str) -> list[str]:
    """What to look at and what to do, with links where the HTTP service is known."""
    first = alerts[0]
    lines = []
    if advice := ADVICE.get(str(first["kind"])):
        lines.append(f"What to look at: {advice}")
    open_ones = [str(alert["alert_id"]) for alert in alerts if not alert["closed_at"]]
    if open_ones and _type(stage) != "resolved":
        them, numbers = "it" if len(open_ones) == 1 else "them", " ".join(open_ones[:MAX_ALERTS_IN_TEXT])
        lines.append(
            f"To say that you handle {them}: simsight alerts ack {numbers}; to put {them} aside: "
            f"simsight alerts snooze {numbers} --for 4h; to close {them}: simsight alerts resolve {numbers}"
        )
    if api_url:
        base = api_url.rstrip("/")
        lines.append(f"Report: {base}/v1/report")
        lines.append(f"Alerts: {base}/alerts")
        if first["iccid"] and len(alerts) == 1:
            lines.append(f"SIM: {base}/sims/{first['iccid']}")
    return lines


def _type(stage: str) -> str:
    first = stage.split(maxsplit=1)[0]
    return {"open": "open_again"}.get(first, first)


def _stage(stage: str) -> str:
    words = {
        "resolved": "resolved: ",
        "escalation": "not acknowledged: ",
        "raised": f"{stage}: ",
        "open_again": "open again: ",
    }
    return words.get(_type(stage), "")


def _subject(alert: Mapping[str, Any]) -> str:
    label, iccid = alert["label"], alert["iccid"]
    return f"{label} ({iccid})" if label and iccid else str(label or iccid or "fleet")


def _common(alerts: Sequence[Mapping[str, Any]]) -> str:
    first = alerts[0] if alerts else {}
    return str(first.get("rule") or first.get("kind") or "-")


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
