"""Commands about messages of alerts: channels, escalation, quiet hours, maintenance, and the sender."""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime
from getpass import getuser
from typing import Annotated, Literal

import typer

from ml.enums import Severity
from ml.words import so_many
from pipelines.cli.common import HOUR, MINUTE, AsJson, By, Label, Sims, console, opened, print_rows, scope
from resources.settings import SettingsError

channels = typer.Typer(help="Where alerts are sent: e-mail, chat, SMS, webhooks.", no_args_is_help=True)
oncall = typer.Typer(help="Escalation, quiet hours and maintenance windows.", no_args_is_help=True)
Zone = Annotated[str, typer.Option("--zone", help="Time zone, such as Europe/Berlin.")]


@channels.command("add")
def add_channel(
    name: Annotated[str, typer.Argument(help="Name of the channel.")],
    url_variable: Annotated[
        str,
        typer.Argument(
            help="Environment variable (or line of .env) that holds the URL; the URL itself is never stored."
        ),
    ],
    secret: Annotated[
        str | None,
        typer.Option(help="Variable that holds the secret to sign with: this makes it a webhook; else Apprise sends."),
    ] = None,
    min_severity: Annotated[Severity, typer.Option(help="Least severity it gets.")] = "info",
    only_escalations: Annotated[
        bool, typer.Option("--only-escalations", help="Nothing directly, only what an escalation policy sends it.")
    ] = False,
    quiet_end: Annotated[bool, typer.Option("--no-resolved", help="Send nothing when an alert is over.")] = False,
    digest_at: Annotated[
        datetime | None,
        typer.Option(**HOUR, help="One summary a day at this time, in place of single alerts."),
    ] = None,
    zone: Zone = "UTC",
    after_crash: Annotated[
        Literal["park", "resend"] | None,
        typer.Option(help="When the sender died while sending; default: resend for webhooks, park for others."),
    ] = None,
    send_open: Annotated[
        bool | None,
        typer.Option(
            "--send-open/--skip-open",
            help="Whether it is also sent the alerts that are open already; default: ask, without a terminal skip.",
        ),
    ] = None,
) -> None:
    """Add a way to send alerts; in .env: MAIL_URL=mailtos://user:password@smtp.example.org?to=ops@example.org."""
    from services.notifications import oncall as service

    service.check_channel(name, url_variable=url_variable, secret_variable=secret, time_zone=zone)
    with opened() as runtime:
        at_once = not only_escalations and digest_at is None
        already = service.open_alerts(runtime.database, min_severity) if at_once else 0
        if already and send_open is None and sys.stdin.isatty():
            send_open = typer.confirm(f"{_alerts(already)} open already. Send them to {name}, too?")
        service.add_channel(
            runtime.database,
            name,
            url_variable=url_variable,
            secret_variable=secret,
            min_severity=min_severity,
            direct=not only_escalations,
            resolved=not quiet_end,
            digest_at=digest_at.time() if digest_at else None,
            time_zone=zone,
            after_crash=after_crash,
            open_too=bool(send_open),
            now=runtime.clock(),
            by=getuser(),
        )
    console.print(f"{name} is added; `simsight channels test {name}` tries it", markup=False)
    if already and send_open:
        console.print(
            f"{_alerts(already)} open already: the next `simsight notify` sends {'it' if already == 1 else 'them'}"
        )
    elif already:
        console.print(
            f"{_alerts(already)} open already and not sent to it (--send-open sends them): `simsight alerts list`"
        )


def _wait(count: int) -> str:
    return f"{count} wait{'s' if count == 1 else ''}"


def _alerts(count: int) -> str:
    return f"{count} alert{' is' if count == 1 else 's are'}"


@channels.command("list")
def list_channels(as_json: AsJson = False) -> None:
    """List the channels, disabled ones with the reason."""
    with opened() as runtime:
        rows = runtime.database.rows("channels_list")
    columns = ["name", "kind", "url_variable", "min_severity", "sent", "pending", "dead", "unknown", "parked_reason"]
    print_rows(rows, columns, as_json=as_json, none="there is no channel yet: `simsight channels add`")


@channels.command("problems")
def channel_problems(as_json: AsJson = False) -> None:
    """List messages that did not arrive, or may not have, newest first, and the channels that are disabled."""
    with opened() as runtime:
        rows = runtime.database.rows("outbox_problems", {"rows": 50})
        found = runtime.database.rows("channels_list")
    waiting = sum(row["pending"] for row in found if not row["parked_at"])
    none = f"no message failed; {_wait(waiting)} to be sent: `simsight notify`" if waiting else "all messages arrived"
    disabled = [row for row in found if row["parked_at"]]
    columns = ["notification_id", "channel", "stage", "severity", "state", "attempts", "created_at", "last_error"]
    if rows or as_json or not disabled:
        print_rows(rows, columns, as_json=as_json, none=none)
    for row in () if as_json else disabled:
        console.print(
            f"{row['name']} is disabled since {row['parked_at']:%Y-%m-%d %H:%M} UTC: {row['parked_reason']}; "
            f"{_wait(row['pending'])} for it, `simsight channels test {row['name']}` enables it",
            markup=False,
        )


@channels.command("test")
def try_channel(name: Annotated[str, typer.Argument(help="Name of the channel.")]) -> None:
    """Send a test message now; its arrival enables a disabled channel."""
    from services.notifications import oncall as service
    from services.notifications import outbox

    with opened() as runtime:
        service.try_channel(runtime.database, name, now=datetime.now(UTC), environ=outbox.environment(), by=getuser())
    console.print(f"{name} took the test message", markup=False)


@channels.command("delete")
def delete_channel(name: Annotated[str, typer.Argument(help="Name of the channel.")]) -> None:
    """Delete a channel; its pending messages are dropped."""
    from services.notifications import oncall as service

    with opened() as runtime:
        dropped = service.delete_channel(runtime.database, name, now=runtime.clock(), by=getuser())
    console.print(f"{name} is deleted; {so_many(dropped, 'message')} dropped", markup=False)


def notify(
    every: Annotated[
        int | None,
        typer.Option(min=5, help="Go on, with a pass every so many seconds, until Ctrl-C; default: one pass."),
    ] = None,
) -> None:
    """Send due messages: new alerts, escalations, ends, digests. Several senders at once do no harm."""
    from services.notifications import outbox

    with opened() as runtime:
        while True:
            done = outbox.notify(
                runtime.database,
                clock=runtime.clock,
                environ=outbox.environment(),
                data_note=runtime.data_note,
                api_url=runtime.settings.api_url,
            )
            said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in done.items() if count)
            console.print(said or "nothing to send", markup=False)
            if every is None:
                break
            time.sleep(every)


# --- on call --------------------------------------------------------------------------------------------------------


@oncall.command("list")
def list_oncall(as_json: AsJson = False) -> None:
    """List escalation policies, quiet hours and maintenance windows."""
    with opened() as runtime:
        rows = runtime.database.rows("oncall_list")
    print_rows(rows, ["what", "name", "details"], as_json=as_json, none="nothing is set up")


@oncall.command("escalate")
def escalate(
    name: Annotated[str, typer.Argument(help="Name of the policy; one of that name is replaced.")],
    steps: Annotated[list[str], typer.Argument(metavar="MINUTES:CHANNEL...", help="Such as 0:mail 30:boss.")],
    min_severity: Annotated[Severity, typer.Option(help="Least severity of its alerts.")] = "critical",
    rule: Annotated[str | None, typer.Option(help="Only alerts of this rule.")] = None,
) -> None:
    """Send to the next channel while an alert is open and nobody acknowledges it."""
    from services.notifications import oncall as service

    parsed = []
    for step in steps:
        minutes, _, channel = step.partition(":")
        if not minutes.isdigit() or not channel:
            raise SettingsError(f"{step!r}: expected minutes and a channel, such as 30:boss")
        parsed.append((float(minutes), channel))
    service.check_policy(name, parsed, min_severity=min_severity)
    with opened() as runtime:
        service.add_policy(
            runtime.database,
            name,
            parsed,
            now=runtime.clock(),
            min_severity=min_severity,
            rule=rule,
            by=getuser(),
        )
    console.print(f"{name} is set", markup=False)


@oncall.command("quiet")
def quiet(
    name: Annotated[str, typer.Argument(help="Name; quiet hours of that name are replaced.")],
    begin: Annotated[datetime, typer.Option("--from", **HOUR, help="Local time.")],
    end: Annotated[datetime, typer.Option("--to", **HOUR, help="Local time; the next day where earlier.")],
    zone: Zone = "UTC",
    days: Annotated[str, typer.Option(help="Days on which they begin: 1 (Monday) to 7.")] = "1,2,3,4,5,6,7",
    channel: Annotated[str | None, typer.Option(help="Only for this channel.")] = None,
) -> None:
    """Send only what is critical in these hours; the rest follows when they end."""
    from services.notifications import oncall as service

    if not re.fullmatch("[1-7](,[1-7])*", days):
        raise SettingsError(f"--days {days}: expected numbers from 1 to 7, such as 6,7")
    chosen = [int(day) for day in days.split(",")]
    service.check_quiet_hours(name, begin.time(), end.time(), time_zone=zone, days=chosen)
    with opened() as runtime:
        service.add_quiet_hours(
            runtime.database,
            name,
            begin.time(),
            end.time(),
            time_zone=zone,
            days=chosen,
            channel=channel,
            by=getuser(),
        )
    console.print(f"{name} is set", markup=False)


@oncall.command("maintenance")
def maintenance(
    name: Annotated[str, typer.Argument(help="What is being done.")],
    begin: Annotated[datetime, typer.Option("--from", **MINUTE, help="UTC.")],
    end: Annotated[datetime, typer.Option("--to", **MINUTE, help="UTC.")],
    label: Label = None,
    sims: Sims = None,
    by: By = None,
) -> None:
    """Send nothing about alerts of these SIMs during work; alerts open at its end are sent then."""
    from services.notifications import oncall as service

    span = (begin.replace(tzinfo=UTC), end.replace(tzinfo=UTC))
    whom = scope(label, sims)
    service.check_maintenance(name, *span, scope=whom)
    with opened() as runtime:
        service.add_maintenance(runtime.database, name, *span, scope=whom, by=by or getuser())
    console.print(f"{name} is set", markup=False)


@oncall.command("delete")
def delete_oncall(
    what: Annotated[Literal["escalation", "quiet", "maintenance"], typer.Argument(help="What it is.")],
    name: Annotated[str, typer.Argument(help="Its name.")],
) -> None:
    """Delete an escalation policy, quiet hours or a maintenance window."""
    from services.notifications import oncall as service

    with opened() as runtime:
        service.delete_oncall(runtime.database, what, name, by=getuser())
    console.print(f"{name} is deleted", markup=False)
