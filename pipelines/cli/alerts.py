"""Commands about alerts: rules, and what becomes of an alert."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from getpass import getuser
from typing import Annotated, Literal

import typer

from ml.enums import AlertKind, Severity
from ml.words import so_many
from pipelines.cli.common import AsJson, By, Label, Sims, console, opened, print_rows, scope
from resources.errors import UsageError
from resources.settings import SettingsError
from services.alerts.evaluation import AlertError, disable_rule, enable_rule, replay, stored_rule
from services.alerts.rules import METRICS, Replay, Rule, check_rule, parse_condition

rules = typer.Typer(help="Alert rules of your own: write, try on the past, switch on and off.", no_args_is_help=True)
alerts = typer.Typer(help="List alerts; acknowledge, snooze and resolve them.", no_args_is_help=True)
Ids = Annotated[list[int], typer.Argument(help="Alerts, by number.")]
Note = Annotated[str | None, typer.Option(help="Kept with who did it and when.")]
Condition = Annotated[
    str,
    typer.Argument(
        help='Such as "usage_day_mb > 100" or "exhaustion_p14 > 80 %"; `simsight rules metrics` lists metrics.'
    ),
]
ForDays = Annotated[int, typer.Option("--for", help="As-of days in a row on which it must hold.")]
Force = Annotated[bool, typer.Option("--force", help="Also when it would page for a great share of its SIMs.")]


# --- rules ----------------------------------------------------------------------------------------------------------


@rules.command("metrics")
def rule_metrics() -> None:
    """List what a rule can look at."""
    rows = [
        {
            "metric": name,
            "is": metric.words,
            "unit": "share or %" if metric.share else metric.unit,
            "from": metric.low,
            "to": metric.high,
        }
        for name, metric in METRICS.items()
    ]
    print_rows(rows, ["metric", "is", "unit", "from", "to"], as_json=False, none="")


@rules.command("list")
def list_rules(as_json: AsJson = False) -> None:
    """List the rules, what each last found, and why one does not work."""
    with opened() as runtime:
        rows = runtime.database.rows("rules_list")
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
    for row in () if as_json else rows:
        whom = ", ".join(f"{name} {value}" for name, value in row["scope"].items()) or "all SIMs"
        found = f"{row['holding']} hold as of {row['evaluated_as_of']}, {row['open_alerts']} open"
        console.print(
            f"{row['name']} [{row['severity']}] {'on' if row['enabled'] else 'off'}: {stored_rule(row).written}; "
            f"{whom[:100]}; "
            f"{found if row['evaluated_as_of'] else 'not evaluated yet'}{'; ' + row['error'] if row['error'] else ''}",
            markup=False,
        )
    if not rows and not as_json:
        console.print("there is no rule yet: `simsight rules add`")


@rules.command("test")
def try_rule(
    condition: Condition,
    for_days: ForDays = 1,
    label: Label = None,
    sims: Sims = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="Days of the past to try it on.")] = 30,
) -> None:
    """Try a rule on the past without storing it: how often it would have fired, and for whom."""
    rule = Rule("test", *parse_condition(condition), for_days=for_days, scope=scope(label, sims))
    check_rule(rule)
    with opened() as runtime, runtime.database.transaction() as transaction:
        _print_replay(rule, replay(transaction, rule, last=runtime.last_complete_day(), days=days))


@rules.command("add")
def add_rule(
    name: Annotated[str, typer.Argument(help="Name of the rule.")],
    condition: Condition,
    for_days: ForDays = 1,
    label: Label = None,
    sims: Sims = None,
    severity: Annotated[Severity, typer.Option(help="Severity of its alerts.")] = "warning",
    off: Annotated[bool, typer.Option("--off", help="Store it, but do not switch it on.")] = False,
    force: Force = False,
    replace: Annotated[bool, typer.Option("--replace", help="Change the rule of that name.")] = False,
    by: By = None,
) -> None:
    """Check a rule, try it on the last 30 days, store it and switch it on."""
    from services.alerts.evaluation import add_rule as add

    rule = Rule(
        name.strip(), *parse_condition(condition), for_days=for_days, scope=scope(label, sims), severity=severity
    )
    check_rule(rule)
    with opened() as runtime:
        saved, replayed = add(
            runtime.database,
            rule,
            last=runtime.last_complete_day(),
            by=by or getuser(),
            now=runtime.clock(),
            enabled=not off,
            force=force,
            replace=replace,
        )
    _print_replay(rule, replayed)
    console.print(f"{rule.name}: stored as version {saved['version']}, switched {'off' if off else 'on'}", markup=False)


@rules.command("enable")
def enable(name: Annotated[str, typer.Argument(help="Name of the rule.")], force: Force = False) -> None:
    """Switch a rule on, after trying it on the last 30 days."""
    with opened() as runtime:
        replayed = enable_rule(
            runtime.database, name, last=runtime.last_complete_day(), now=runtime.clock(), force=force, by=getuser()
        )
    console.print(f"{name} is on; {_fired(replayed)}", markup=False)


@rules.command("disable")
def disable(name: Annotated[str, typer.Argument(help="Name of the rule.")]) -> None:
    """Switch a rule off; its open alerts are closed."""
    with opened() as runtime:
        closed = disable_rule(runtime.database, name, now=runtime.clock(), by=getuser())
    console.print(f"{name} is off; {so_many(closed, 'alert')} closed", markup=False)


@rules.command("delete")
def delete_rule(name: Annotated[str, typer.Argument(help="Name of the rule.")]) -> None:
    """Delete a rule; its open alerts are closed, and all of them stay in the history."""
    with opened() as runtime:
        closed = disable_rule(runtime.database, name, now=runtime.clock(), delete=True, by=getuser())
    console.print(f"{name} is deleted; {so_many(closed, 'alert')} closed", markup=False)


def _fired(replayed: Replay) -> str:
    times = f"{replayed.fired} time{'s' if replayed.fired != 1 else ''}"
    days = f"{replayed.days} day{'s' if replayed.days != 1 else ''}"
    return f"it would have fired {times} on {days}, for at most {replayed.most} of {replayed.sims} at once"


def _print_replay(rule: Rule, replayed: Replay) -> None:
    console.print(f"{rule.condition}: {_fired(replayed)}", markup=False)
    if replayed.examples:
        print_rows(replayed.examples, ["day", "iccid", "label", "value"], as_json=False, none="")
    if replayed.fired > len(replayed.examples):
        console.print(f"... the first {len(replayed.examples)} of {replayed.fired}")


# --- alerts ---------------------------------------------------------------------------------------------------------


@alerts.command("list")
def list_alerts(
    state: Annotated[
        Literal["open", "acknowledged", "snoozed", "resolved", "all"],
        typer.Option(help="open: all that are not resolved, also acknowledged and snoozed ones, marked as such."),
    ] = "open",
    kind: Annotated[AlertKind | None, typer.Option(help="Only alerts of this kind.")] = None,
    severity: Annotated[Severity | None, typer.Option(help="Only alerts of this severity.")] = None,
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="So many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Alerts, the loudest and newest first."""
    with opened() as runtime:
        which = {"state": state, "kind": kind, "severity": severity, "rows": rows}
        found = runtime.database.rows("alerts_list", which)
    counts = {name: found[0][name] if found else 0 for name in ("of", "acknowledged", "snoozed")}
    if as_json:
        plain = [{name: value for name, value in row.items() if name not in counts} for row in found]
        typer.echo(json.dumps(plain, indent=2, default=str))
    for row in () if as_json else found:
        whom = " ".join(part for part in (row["label"], row["iccid"]) if part) or "fleet"
        acted = f" until {row['snoozed_until']:%Y-%m-%d %H:%M} UTC" if row["state"] == "snoozed" else ""
        acted += f" by {row['acted_by']}" if row["acted_by"] else ""
        console.print(
            f"{row['alert_id']} [{row['severity']}] {row['state']}{acted}, since {row['opened_as_of']}, "
            f"{whom}: {row['message']}",
            markup=False,
        )
    if as_json:
        return
    if not found:
        console.print("no alert")
        return
    put_aside = [f"{counts[name]} {name}" for name in ("acknowledged", "snoozed") if counts[name]]
    among = f", {' and '.join(put_aside)} among them" if put_aside and state in ("open", "all") else ""
    shown = f"; the first {len(found)} are shown, --rows {counts['of']} shows all" if counts["of"] > len(found) else ""
    console.print(
        f"{counts['of']} {'' if state == 'all' else state + ' '}alert{'' if counts['of'] == 1 else 's'}{among}{shown}"
    )


@alerts.command("history")
def history(alert: Annotated[int, typer.Argument(help="Alert, by number.")], as_json: AsJson = False) -> None:
    """List what became of an alert: when, by whom, with what note."""
    with opened() as runtime:
        rows = runtime.database.rows("alert_events", {"alert_id": alert})
    if not rows:
        raise UsageError(
            f"there is no alert {alert}, or it has no history: `simsight alerts list` shows those there are"
        )
    columns = ["at", "event", "who", "note", "state", "severity", "value", "as_of"]
    print_rows(rows, columns, as_json=as_json, none="")


@alerts.command("ack")
def acknowledge(ids: Ids, note: Note = None, by: By = None) -> None:
    """Acknowledge alerts: somebody handles them, so they are not escalated."""
    _act(ids, "acknowledge", note, by)


@alerts.command("snooze")
def snooze(
    ids: Ids,
    span: Annotated[str, typer.Option("--for", help="How long, such as 30m, 4h or 2d.")],
    note: Note = None,
    by: By = None,
) -> None:
    """Put alerts aside for a while; those still open then are sent again."""
    _act(ids, "snooze", note, by, span=_span(span))


@alerts.command("resolve")
def resolve(ids: Ids, note: Note = None, by: By = None) -> None:
    """Close alerts; they are opened again only after a day on which they do not hold."""
    _act(ids, "resolve", note, by)


@alerts.command("reopen")
def reopen(ids: Ids, note: Note = None, by: By = None) -> None:
    """Take back an acknowledgement or a snooze."""
    _act(ids, "reopen", note, by)


def _span(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", text.strip())
    if found is None or not int(found[1]):
        raise SettingsError(f"{text!r}: expected a time such as 30m, 4h or 2d")
    return int(found[1]) * {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[found[2]]


def _act(
    ids: list[int],
    what: Literal["acknowledge", "snooze", "resolve", "reopen"],
    note: str | None,
    by: str | None,
    *,
    span: timedelta | None = None,
) -> None:
    from services.alerts.evaluation import act

    with opened() as runtime:
        now = runtime.clock()
        until = None if span is None else now + span
        named = note is not None or by is not None
        done = act(runtime.database, ids, what, by=by or getuser(), now=now, note=note, until=until, takes_over=named)
    if done:
        console.print(f"{what}: {', '.join(map(str, sorted(done)))}")
    if missed := sorted(set(ids) - set(done)):
        raise AlertError(f"there is no alert that is not resolved with number {', '.join(map(str, missed))}")
