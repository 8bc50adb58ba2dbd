"""Rules and alerts in the database: write, replay and evaluate rules; acknowledge, snooze and resolve alerts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

import psycopg

from resources.errors import UsageError, in_words
from services.alerts.rules import Replay, Rule, RuleError, check_replay, check_rule
from services.anomalies.alerting import alert_anomalies

if TYPE_CHECKING:
    from resources.database.session import Database
    from resources.runtime import Runtime


REPLAY_DAYS = 30
MAX_REPLAY_DAYS = 365
MAX_EXAMPLES = 20
Act = Literal["acknowledge", "snooze", "resolve", "reopen"]
Row = dict[str, Any]


class AlertError(UsageError):
    """Alerts, rules or channels cannot be changed as asked: a name, a number or a value in it is wrong.

    The message says which. A rule that would alert for too many SIMs is wrong usage, too: see RuleError.
    """


class Queries(Protocol):
    """Runs named queries: a transaction of the pipeline, or a session of the HTTP service."""

    def rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[Row]: ...

    def row(self, name: str, parameters: Mapping[str, Any] | None = None) -> Row | None: ...


def replay(queries: Queries, rule: Rule, *, last: date, days: int = REPLAY_DAYS) -> Replay:
    """Return what the rule would have done on the as-of days up to `last`, by one query.

    Raises RuleError for a rule that is wrong in itself, or whose scope holds no SIM or unknown ones.
    """
    check_rule(rule)
    metric = rule.about
    found = queries.row("rule_scope", {"scope": json.dumps(rule.scope)})
    assert found is not None
    if found["unknown"]:
        raise RuleError({"scope": f"there is no SIM with ICCID {', '.join(found['unknown'])} in this organization"})
    if rule.scope and not found["sims"]:
        raise RuleError({"scope": f"no SIM's label begins with {rule.scope['label_prefix']!r}"})
    first = last - timedelta(days=min(days, MAX_REPLAY_DAYS) - 1)
    rows = queries.rows(f"rule_holds[metric_{rule.metric}]", _parameters(rule, first, last))
    examples = [{"day": row["day"], **one} for row in rows for one in row["examples"] or []]
    return Replay(
        sims=1 if metric.fleet else found["sims"],
        days=len(rows),
        fired=sum(row["begins"] for row in rows),
        most=max((row["holding"] for row in rows), default=0),
        examples=examples[:MAX_EXAMPLES],
        by_day=[{name: row[name] for name in ("day", "holding", "begins")} for row in rows],
    )


def validate_rule(queries: Queries, rule: Rule, *, last: date, force: bool = False) -> Replay:
    """Check and replay a rule before it is switched on.

    Raises RuleError as `replay` does and, unless forced, for a rule that would have held for too great a share of its
    scope.
    """
    replayed = replay(queries, rule, last=last)
    if not force:
        check_replay(rule, replayed)
    return replayed


def add_rule(
    database: Database,
    rule: Rule,
    *,
    last: date,
    by: str,
    now: datetime,
    enabled: bool,
    force: bool = False,
    replace: bool = False,
) -> tuple[Row, Replay]:
    """Validate a rule up to `last` and store it; returns its key and version, and the replay.

    replace   change the rule of that name, where there is one
    Raises RuleError, AlertError for a taken name.
    """
    with database.transaction() as transaction:
        transaction.row("act_as", {"by": by})
        replayed = validate_rule(transaction, rule, last=last, force=force)
        values = rule.as_dict() | {
            "scope": json.dumps(rule.scope),
            "enabled": enabled,
            "by": by,
            "now": now,
            "replace": replace,
        }
        saved = transaction.row("save_rule", values)
    if saved is None:
        raise AlertError(f"there is a rule named {rule.name!r}: choose another name, or replace it")
    return saved, replayed


def enable_rule(
    database: Database, name: str, *, last: date, now: datetime, force: bool = False, by: str = ""
) -> Replay:
    """Validate a rule up to `last` and switch it on; returns the replay.

    by   who does it; empty: the login of the database
    Raises AlertError for an unknown name, RuleError.
    """
    with database.transaction() as transaction:
        transaction.row("act_as", {"by": by})
        row = _named(transaction, name)
        replayed = validate_rule(transaction, stored_rule(row), last=last, force=force)
        transaction.row("switch_rule", {"rule_id": row["rule_id"], "enabled": True, "deleted": False, "now": now})
    return replayed


def disable_rule(database: Database, name: str, *, now: datetime, delete: bool = False, by: str = "") -> int:
    """Switch a rule off, or delete it; returns how many open alerts that closed.

    by   who does it; empty: the login of the database
    Raises AlertError for an unknown name.
    """
    with database.transaction() as transaction:
        transaction.row("act_as", {"by": by})
        which = {"rule_id": _named(transaction, name)["rule_id"], "enabled": False, "deleted": delete, "now": now}
        done = transaction.row("switch_rule", which)
    return int(done["closed"] or 0) if done else 0


def _named(queries: Queries, name: str) -> Row:
    found = next((row for row in queries.rows("rules_list") if row["name"] == name), None)
    if found is None:
        raise AlertError(f"there is no rule named {name!r}; `simsight rules list` shows those there are")
    return found


def stored_rule(row: Mapping[str, Any]) -> Rule:
    """Return the rule that a row of predictions.alert_rules holds."""
    return Rule(
        row["name"], row["metric"], row["operator"], row["threshold"], row["for_days"], row["scope"], row["severity"]
    )


def past(runtime: Runtime, as_of: date) -> str:
    """Say why alerts are not evaluated as of a day; empty: they are.

    Alerts are about the present. A day before the last complete one is computed again by a backfill or for a late
    correction: nobody is paged for it, and what is open is not closed by it.
    """
    newest = runtime.last_complete_day()
    return f"no: {as_of} is past, alerts are opened and closed as of {newest} only" if as_of < newest else ""


def evaluate_rules(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """Evaluate every rule that is switched on as of a day, and the alerts of incidents and anomalies; returns counts.

    Each rule is one query in a transaction of its own. A rule that fails does not stop the others: the error is stored
    with the rule. Days before the last complete one, or before a rule's last one, change nothing.
    """
    if why := past(runtime, as_of):
        return {"evaluated": why}
    database, now = runtime.database, runtime.clock()
    with database.transaction() as transaction:
        rules = [row for row in transaction.rows("rules_list") if row["enabled"]]
    done: dict[str, Any] = {"as of": as_of.isoformat(), "rules": len(rules), "opened": 0, "updated": 0, "closed": 0}
    failed: dict[str, str] = {}
    for row in rules:
        if row["evaluated_as_of"] and row["evaluated_as_of"] > as_of:
            continue
        try:
            counts = _evaluate(database, row, as_of, now)
        except (psycopg.Error, RuleError) as error:
            said = error.diag.message_primary if isinstance(error, psycopg.Error) else str(error)
            failed[row["name"]] = (said or in_words(error))[:500]
            with database.transaction() as transaction:
                transaction.execute("rule_error", {"rule_id": row["rule_id"], "error": failed[row["name"]], "now": now})
            continue
        for name in ("opened", "updated", "closed"):
            done[name] += counts[name]
    done |= alert_anomalies(database, as_of=as_of, now=now)
    return done | ({"rules that failed": failed} if failed else {})


def _evaluate(database: Database, row: Row, as_of: date, now: datetime) -> Row:
    rule = stored_rule(row)
    check_rule(rule)
    before, after = f"{rule.name}: {rule.about.words} is ", f" {rule.about.unit}".rstrip()
    after += f" (rule: {rule.operator} {rule.threshold:g}" + (
        f" for {rule.for_days} days)." if rule.for_days > 1 else ")."
    )
    values = _parameters(rule, as_of, as_of) | {
        "rule_id": row["rule_id"],
        "version": row["version"],
        "as_of": as_of,
        "severity": rule.severity,
        "now": now,
        "says": before.replace("%", "%%") + "%s" + after.replace("%", "%%"),  # for SQL's format()
    }
    with database.transaction() as transaction:
        counts = transaction.row(f"evaluate_rule[metric_{rule.metric}]", values)
    assert counts is not None
    return counts


def _parameters(rule: Rule, first: date, last: date) -> Row:
    """Return the parameters of a metric's query for the as-of days from `first` to `last`."""
    return {
        "first": first - timedelta(days=rule.for_days - 1),
        "last": last,
        "for_days": rule.for_days,
        "operator": rule.operator,
        "threshold": rule.threshold,
        "scope": json.dumps(rule.scope),
    }


def act(
    database: Database,
    alert_ids: Sequence[int],
    what: Act,
    *,
    by: str,
    now: datetime,
    note: str | None = None,
    until: datetime | None = None,
    takes_over: bool = True,
) -> list[int]:
    """Acknowledge, snooze, resolve or reopen alerts; returns those it changed: open ones of the organization.

    until        end of a snooze. Raises AlertError where it is missing or past.
    takes_over   False: the same act again is in the history, and the alert keeps who did it first
    """
    if what == "snooze" and (until is None or until <= now):
        raise AlertError("a snooze needs a time in the future at which it ends")
    values = {"alert_ids": list(alert_ids), "act": what, "until": until, "note": note, "by": by, "now": now}
    return [row["alert_id"] for row in database.rows("act_on_alerts", values | {"takes_over": takes_over})]
