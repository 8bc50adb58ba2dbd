"""E-mail, Slack, Teams and webhooks over real TLS, against local servers that answer as the services do."""

from __future__ import annotations

import json
import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import Message as ReceivedMail
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from resources import channels
from resources.channels import ChannelBrokenError, DeliveryError, MailUrl, Message, RefusedError, open_channel
from tests.receiver import hook_server
from tests.tls import Authority

NOW = datetime(2026, 1, 14, 12, tzinfo=UTC)
PASSWORD = "staple-in-the-url"
SECRET = "correct-horse-battery"
SLACK, TEAMS = "hooks.slack.com", "prod-01.westeurope.logic.azure.com"
SLACK_URL = "slack://T0AAAAAAA/B0BBBBBBB/CccccccccccccccccccccccC/#alerts"
TEAMS_URL = f"workflows://{TEAMS}/wf0123456789/sig0123456789"


def message(text: str = "- pump-1: No usage for 4 days.") -> Message:
    return Message(
        "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "[warning] pump-1: No usage for 4 days.", text, {"id": "6f9"}
    )


def send(url: str, told: Message | None = None, *, secret: str | None = None) -> None:
    """Deliver as the sender of the outbox does."""
    row = {"kind": "webhook" if secret else "apprise", "url_variable": "URL", "secret_variable": "SECRET"}
    with open_channel(row, {"URL": url, "SECRET": secret or ""}) as channel:
        channel.send(told or message(), NOW)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authority is trusted, as a company's own is: by the variables that docs/alerts.md names."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))


# --- e-mail ---------------------------------------------------------------------------------------------------------


@dataclass
class MailServer:
    """A real SMTP server that notes every login and mail, and whether TLS held then. It is rude when one leaves."""

    port: int = 0
    logins: list[tuple[str, str, bool]] = field(default_factory=list)
    mails: list[tuple[ReceivedMail, bool]] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login.decode(), data.password.decode(), _encrypted(server)))
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.recipients.append(list(envelope.rcpt_tos))
        self.mails.append((message_from_bytes(envelope.content, policy=policy.default), _encrypted(server)))
        return "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        return "421 too busy to say goodbye"


def _encrypted(server: Any) -> bool:
    return server.transport.get_extra_info("ssl_object") is not None


@contextmanager
def mail_server(**how: Any) -> Iterator[MailServer]:
    server = MailServer()
    with socket.create_server(("127.0.0.1", 0)) as free:
        server.port = free.getsockname()[1]
    how = {"auth_require_tls": False, "authenticator": server.login, "hostname": "127.0.0.1"} | how
    controller = Controller(server, port=server.port, **how)
    controller.start()
    yield server
    controller.stop()


def mailtos(server: MailServer, more: str = "", password: str = PASSWORD) -> str:
    return f"mailtos://ops:{password}@127.0.0.1:{server.port}?from=simsight@example.org&to=ann@example.org{more}"


@pytest.mark.parametrize("mode", ["starttls", "ssl"])
def test_a_mail_goes_through_tls_after_a_login(authority: Authority, trusted: None, mode: str) -> None:
    tls = authority.server("127.0.0.1")
    how = {"ssl_context": tls} if mode == "ssl" else {"tls_context": tls, "require_starttls": True}
    with mail_server(**how) as server:
        with pytest.raises(ChannelBrokenError, match="refused the login"):
            send(mailtos(server, f"&mode={mode}", "wrong-password"))
        assert server.mails == []
        send(mailtos(server, f"&mode={mode}"))
    ((mail, encrypted),) = server.mails
    assert (encrypted, server.logins[-1]) == (True, ("ops", PASSWORD, True))
    assert mail["Subject"] == "[warning] pump-1: No usage for 4 days."
    assert mail["Message-ID"] == "<6f9619ff-8b86-4d01-b42d-00cf4fc964ff@simsight>"


def nothing_was_said(server: MailServer) -> bool:
    return not server.logins and not server.mails


@pytest.mark.parametrize("mode", ["starttls", "ssl"])
def test_a_certificate_of_nobody_known_parks_the_channel_and_no_password_is_sent(
    authority: Authority, mode: str
) -> None:
    tls = authority.server("127.0.0.1")
    with mail_server(**({"ssl_context": tls} if mode == "ssl" else {"tls_context": tls})) as server:
        with pytest.raises(ChannelBrokenError, match="certificate of the mail server is not trusted: "):
            send(mailtos(server, f"&mode={mode}"))
        assert nothing_was_said(server)
        send(mailtos(server, f"&mode={mode}&verify=no"))
        assert [encrypted for _, encrypted in server.mails] == [True], "asked not to look, it still encrypts"


def test_a_certificate_of_another_host_parks_the_channel(authority: Authority, trusted: None) -> None:
    with mail_server(tls_context=authority.server("mail.example.org")) as server:
        with pytest.raises(ChannelBrokenError, match="not trusted: IP address mismatch"):
            send(mailtos(server))
        assert nothing_was_said(server)


def test_a_server_without_starttls_gets_neither_password_nor_mail(trusted: None) -> None:
    with mail_server() as server:
        with pytest.raises(ChannelBrokenError, match="cannot do what the URL asks for: STARTTLS"):
            send(mailtos(server))
        assert nothing_was_said(server)
        plain = smtplib.SMTP("127.0.0.1", server.port)
        plain.login("ops", PASSWORD)
        plain.close()
        assert server.logins == [("ops", PASSWORD, False)], "it would have taken it"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "mailtos://smtp.example.org?from=a@example.org&to=b@example.org",
            {"port": 587, "mode": "starttls", "user": ""},
        ),
        (
            "mailtos://smtp.example.org?from=a@example.org&mode=ssl",
            {"port": 465, "mode": "ssl", "to": ["a@example.org"]},
        ),
        ("mailto://ops:x@smtp.example.org", {"port": 25, "mode": "insecure", "sender": "ops@smtp.example.org"}),
        ("MAILTO://ops:x@smtp.example.org:2525", {"host": "smtp.example.org", "port": 2525}),
        ("mailtos://ops%40example.org:p%40%2F+@smtp.example.org", {"sender": "ops@example.org", "password": "p@/+"}),
        (
            "mailtos://a:b@smtp.example.org/ann@example.org?to="
            "Bob <bob+x@example.org>,c@example.org&cc=d@example.org&bcc=e@example.org",
            {
                "to": ["bob+x@example.org", "c@example.org", "ann@example.org"],
                "cc": ["d@example.org"],
                "bcc": ["e@example.org"],
            },
        ),
        (
            "mailtos://example.org?smtp=mx.example.org&port=99&user=u&pass=p&verify=no",
            {
                "host": "mx.example.org",
                "port": 99,
                "user": "u",
                "password": "p",
                "verify": False,
                "sender": "u@example.org",
            },
        ),
    ],
)
def test_a_mail_url_is_read(url: str, expected: dict[str, Any]) -> None:
    read = MailUrl.parse(url)
    assert {name: getattr(read, name) for name in expected} == expected
    assert read.verify is expected.get("verify", True)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mailtos://ops:staple-in#the-url@smtp.example.org?to=ann@example.org", "must be percent-encoded"),
        ("mailtos://ops:staple-in-the-url@[::1?to=ann@example.org", "must be percent-encoded"),
        ("mailtos://ops:staple-in-the-url@smtp.example.org?to=staple", "to must be e-mail addresses"),
        ("mailtos://smtp.example.org?to=ann@example.org", "from must be e-mail addresses"),
        ("mailtos://ops:staple-in-the-url@smtp.example.org?mode=staple", "mode must be one of starttls, ssl, insecure"),
        ("mailtos://ops:staple-in-the-url@smtp.example.org?mode=insecure", "mode must be starttls or ssl"),
        ("mailtos://ops:staple-in-the-url@smtp.example.org?port=staple", "the port must be a number"),
        ("mailtos://?to=ann@example.org", "names no mail server"),
    ],
)
def test_a_mail_url_that_makes_no_sense_breaks_the_channel_and_is_not_shown(url: str, problem: str) -> None:
    with pytest.raises(ChannelBrokenError, match=problem) as failed:
        send(url)
    assert "staple" not in str(failed.value)


def test_one_mail_goes_to_all_recipients_and_names_no_blind_copies() -> None:
    with mail_server() as server:
        send(
            f"mailto://127.0.0.1:{server.port}?from=simsight@example.org&to=ann@example.org,bob@example.org"
            "&cc=cid@example.org&bcc=dan@example.org"
        )
    ((mail, _),) = server.mails
    assert (mail["To"], mail["Cc"], mail["Bcc"]) == ("ann@example.org, bob@example.org", "cid@example.org", None)
    assert server.recipients == [["ann@example.org", "bob@example.org", "cid@example.org", "dan@example.org"]]
    assert server.logins == []


# --- Slack, Teams, webhooks -----------------------------------------------------------------------------------------


@dataclass
class Internet:
    """A proxy behind which Slack, Teams and a receiver of webhooks stand, with certificates of the authority.

    Their hosts are fixed in Apprise, but it honours HTTPS_PROXY: so its own requests, over TLS, end here.
    """

    posts: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    answer: tuple[int, str] | None = None
    port: int = 0

    def take(self, host: str, target: str, body: bytes) -> tuple[int, str]:
        """What the service of a host says to a POST: what its documentation says it does, or `answer`."""
        if self.answer:
            return self.answer
        try:
            told = json.loads(body)
        except ValueError:
            return 400, "invalid_payload"
        self.posts.append((host, target, told))
        if host == SLACK:
            known = target == "/services/T0AAAAAAA/B0BBBBBBB/CccccccccccccccccccccccC"
            spoken = told.get("text") or any(part.get("text") for part in told.get("attachments", []))
            return (404, "no_service") if not known else (200, "ok") if spoken else (400, "no_text")
        if host == TEAMS:
            asked = parse_qs(urlsplit(target).query)
            card = told["attachments"][0]
            right = told["type"] == "message" and card["contentType"] == "application/vnd.microsoft.card.adaptive"
            return (401, "") if asked["sig"] != ["sig0123456789"] else (202, "") if right else (400, "")
        return 200, ""


@pytest.fixture
def internet(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    made, tls = Internet(), authority.server(SLACK, TEAMS, "hooks.example.org")

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.host = self.path.partition(":")[0]
            try:
                self.connection = self.request = tls.wrap_socket(self.connection, server_side=True)
            except OSError:  # the other side does not trust it
                self.close_connection = True
                return
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
            self.handle_one_request()
            self.close_connection = True

        def do_POST(self) -> None:
            status, text = made.take(self.host, self.path, self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{made.port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_slack_gets_title_and_text_and_a_label_calls_nobody(internet: Internet, trusted: None) -> None:
    send(SLACK_URL, message("- <!channel> & co: *No usage* for 4 days."))
    ((host, _, told),) = internet.posts
    (shown,) = told["attachments"]
    assert (host, told["channel"], told["mrkdwn"]) == (SLACK, "#alerts", False)
    assert shown["title"] == "[warning] pump-1: No usage for 4 days."
    assert shown["text"] == "- &lt;!channel&gt; &amp; co: *No usage* for 4 days."


def test_teams_gets_an_adaptive_card(internet: Internet, trusted: None) -> None:
    send(TEAMS_URL)
    ((host, target, told),) = internet.posts
    assert host == TEAMS
    assert urlsplit(target).path == "/workflows/wf0123456789/triggers/manual/paths/invoke"
    texts = [part["text"] for part in told["attachments"][0]["content"]["body"] if part["type"] == "TextBlock"]
    assert texts[0] == "[warning] pump-1: No usage for 4 days."
    assert "No usage for 4 days" in texts[1]


REFUSALS: list[tuple[int, str, type[Exception]]] = [
    (404, "no_service", ChannelBrokenError),
    (400, "invalid_payload", RefusedError),
    (500, "rollup_error", DeliveryError),
    (403, "invalid_token", ChannelBrokenError),
    (410, "channel_is_archived", ChannelBrokenError),
    (429, "rate_limited", DeliveryError),
]


# Apprise waits 5.5 s between two posts to Teams: one of each kind
@pytest.mark.parametrize(("url", "answers"), [(SLACK_URL, REFUSALS), (TEAMS_URL, REFUSALS[:3])], ids=["slack", "teams"])
def test_what_slack_and_teams_refuse_is_told_apart(
    internet: Internet, trusted: None, url: str, answers: list[tuple[int, str, type[Exception]]]
) -> None:
    with open_channel({"kind": "apprise", "url_variable": "URL"}, {"URL": url}) as channel:
        for status, text, kind in answers:
            internet.answer = status, text
            with pytest.raises(kind, match=f"error={status}") as failed:
                channel.send(message(), NOW)
            assert type(failed.value) is kind, status
            for part in ("CccccccccccccccccccccccC", "B0BBBBBBB", "sig0123456789", "wf0123456789"):
                assert part not in str(failed.value)


def test_a_token_that_slack_does_not_know_parks_the_channel(internet: Internet, trusted: None) -> None:
    with pytest.raises(ChannelBrokenError, match="error=404"):
        send("slack://T0AAAAAAA/B0BBBBBBB/DddddddddddddddddddddddD")
    with pytest.raises(ChannelBrokenError, match="error=401"):
        send(f"workflows://{TEAMS}/wf0123456789/another-signature")


def test_without_a_certificate_that_is_trusted_nothing_is_posted(internet: Internet) -> None:
    for url in (SLACK_URL, TEAMS_URL):
        with pytest.raises(DeliveryError, match="Connection error"):
            send(url)
    with pytest.raises(ChannelBrokenError, match="of the other side is not trusted: "):
        send("https://hooks.example.org/alerts", secret=SECRET)
    assert internet.posts == []


def test_a_webhook_goes_through_tls_and_a_proxy(internet: Internet, trusted: None) -> None:
    send("https://hooks.example.org/alerts", secret=SECRET)
    assert internet.posts == [("hooks.example.org", "/alerts", {"id": "6f9", "text": "- pump-1: No usage for 4 days."})]


# --- receivers that never end -----------------------------------------------------------------------------------------


@contextmanager
def never_ending(first: bytes, rest: bytes, pause_s: float) -> Iterator[int]:
    """The port of a server that says `first`, and then `rest` again and again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            raw, _ = listener.accept()
            with raw, suppress(OSError):
                raw.sendall(first)
                while True:
                    raw.sendall(rest)
                    time.sleep(pause_s)

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
    thread.join(10)


OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n"


@pytest.mark.parametrize(("rest", "pause_s"), [(b"x" * 65536, 0.0), (b"x", 0.05)], ids=["fast", "slow"])
def test_the_body_of_a_webhooks_answer_is_not_read(
    rest: bytes, pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "SEND_TIMEOUT_S", 5.0)
    began = time.monotonic()
    with never_ending(OK_HEAD, rest, pause_s) as port:
        send(f"http://127.0.0.1:{port}/hook", secret=SECRET)
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("rest", "pause_s", "said"),
    [(b"x" * 65536, 0.0, "its answer is too large"), (b"x", 0.05, "no answer within 1 s")],
    ids=["fast", "slow"],
)
def test_an_answer_without_end_is_a_failed_delivery_and_apprise_goes_on(
    rest: bytes, pause_s: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with never_ending(OK_HEAD, rest, pause_s) as port:
        row = {"kind": "apprise", "url_variable": "URL"}
        with open_channel(row, {"URL": f"json://127.0.0.1:{port}/hook"}) as channel:
            if pause_s:
                monkeypatch.setattr(channels, "APPRISE_TIMEOUT_S", 1.0)
            with pytest.raises(DeliveryError, match=said):
                channel.send(message(), NOW)
            monkeypatch.undo()
    with hook_server("/hook") as hook:
        monkeypatch.setattr(channel, "_url", hook.url.replace("http:", "json:"))
        channel.send(message(), NOW)
        channel.close()
    assert len(hook.posts) == 1


def test_headers_of_a_webhooks_answer_that_never_end_are_a_failed_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "SEND_TIMEOUT_S", 0.3)
    with (
        never_ending(b"HTTP/1.1 200 OK\r\nx: ", b"x", 0.05) as port,
        pytest.raises(DeliveryError, match=r"no answer within 0\.3 s"),
    ):
        send(f"http://127.0.0.1:{port}/hook", secret=SECRET)


@pytest.mark.parametrize(
    ("first", "rest", "pause_s"),
    [(b"220 hi\r\n", b"250-x\r\n" * 500, 0.0), (b"220 ", b"x", 0.05), (b"220 hi\r\n", b"2", 0.05)],
    ids=["lines", "a greeting", "a line"],
)
def test_replies_of_a_mail_server_that_never_end_are_a_failed_delivery(
    first: bytes, rest: bytes, pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "SEND_TIMEOUT_S", 0.5)
    began = time.monotonic()
    with never_ending(first, rest, pause_s) as port, pytest.raises(DeliveryError, match="no mail server"):
        send(f"mailto://u@127.0.0.1:{port}?to=ops@example.org")
    assert time.monotonic() - began < 4


def test_what_a_terminal_would_obey_is_escaped_in_a_failure() -> None:
    greeting = b"554 \x1b[2J\x1b]0;owned\x07 go\r\n"
    with never_ending(greeting, b"", 0.05) as port, pytest.raises(DeliveryError) as error:
        send(f"mailto://u@127.0.0.1:{port}?to=ops@example.org")
    assert str(error.value).isprintable()
    assert r"\x1b[2J" in str(error.value)
