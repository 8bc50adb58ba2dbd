"""Alerts written by hand, the sender over them, and real servers for mail and webhooks."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from psycopg.rows import dict_row
from sqlalchemy import URL

from resources.database.server import driver_url
from resources.database.session import Database
from services.notifications import oncall, outbox
from tests.receiver import HookServer, hook_server

NOW = datetime(2026, 1, 14, 12, tzinfo=UTC)  # a Wednesday
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SECRET = "correct-horse-battery"
PASSWORD = "staple-in-the-url"


class MailServer:
    """A real SMTP server that keeps what it takes; `reply` and `pause` make it misbehave."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.reply = "250 OK"
        self.on_mail: Callable[[], None] = lambda: None
        with socket.create_server(("127.0.0.1", 0)) as free:  # the controller itself cannot take any port
            self.port = free.getsockname()[1]
        self.controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            authenticator=self._login,
            auth_require_tls=False,
            auth_required=False,
        )

    def _login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.reply.startswith("250"):
            mail = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
            self.on_mail()
        return self.reply

    @property
    def subjects(self) -> list[str]:
        return [str(mail["Subject"]).strip() for mail in self.mails]


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    server.controller.start()
    yield server
    server.controller.stop()


@pytest.fixture
def hook() -> Iterator[HookServer]:
    with hook_server(f"/hooks/{PASSWORD}") as kept:
        yield kept


class Fleet:
    """Alerts written by hand, and the sender over them at any time."""

    def __init__(self, database: Database, url: URL) -> None:
        self.database, self.url = database, url
        self.admin = psycopg.connect(server_url(url), autocommit=True, row_factory=dict_row)
        self.environ: dict[str, str] = {}
        self.run(
            "INSERT INTO core.sims (organization_id, iccid, label, first_seen_at, changed_at)"
            " SELECT 1, lpad(n::text, 19, '8'), 'pump-' || n, now(), now() FROM generate_series(1, 60) AS n"
        )

    def run(self, statement: str, parameters: Any = None) -> list[dict[str, Any]]:
        cursor = self.admin.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def alert(self, sim: int = 1, severity: str = "warning", at: datetime = NOW, kind: str = "silent") -> int:
        (row,) = self.run(
            "INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, value, message,"
            " opened_as_of, opened_at, seen_as_of)"
            " VALUES (1, %s, %s, %s, 4, 'No usage for 4 days.', %s, %s, %s) RETURNING alert_id",
            (sim, kind, severity, at.date() - 2 * DAY, at, at.date() - 2 * DAY),
        )
        return int(row["alert_id"])

    def channel(self, name: str, url: str, **more: Any) -> None:
        variable = f"CHANNEL_{name.upper().replace('-', '_')}"
        self.environ[variable] = url
        if "secret" in more:
            self.environ[f"{variable}_SECRET"] = more.pop("secret")
            more["secret_variable"] = f"{variable}_SECRET"
        oncall.add_channel(self.database, name, url_variable=variable, **({"now": NOW - DAY} | more))

    def notify(self, now: datetime = NOW) -> dict[str, int]:
        return outbox.notify(self.database, clock=lambda: now, environ=self.environ, seed=1)

    def states(self) -> list[tuple[str, str]]:
        rows = self.run("SELECT stage, state FROM ops.notifications ORDER BY notification_id")
        return [(row["stage"], row["state"]) for row in rows]


def server_url(url: URL) -> str:
    return driver_url(url, "").render_as_string(hide_password=False)


@pytest.fixture
def fleet(database: Database, database_url: URL) -> Iterator[Fleet]:
    made = Fleet(database, database_url)
    yield made
    made.admin.close()


@pytest.fixture
def mailed(fleet: Fleet, mail: MailServer) -> MailServer:
    fleet.channel("mail", mailto(mail))
    return mail


def mailto(mail: MailServer, password: str = PASSWORD) -> str:
    return f"mailto://ops:{password}@127.0.0.1:{mail.port}?from=simsight@example.org&to=ann@example.org&name=Simsight"
