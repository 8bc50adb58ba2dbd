"""Ways to deliver a message: e-mail with a Message-ID of its own, whatever else Apprise reaches, and a signed webhook.

A channel's URL and secret come from the environment and are never stored or shown.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import re
import signal
import smtplib
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import httpx
import orjson

from resources import apprise_child, tracing
from resources.attachments import Attachment, attach
from resources.bounded_http import no_cookies
from resources.bounded_smtp import BoundedSmtp, BoundedSmtpOverTls
from resources.errors import SimsightError, in_words
from resources.proxies import ProxyUnusableError, proxy_options
from resources.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator


SEND_TIMEOUT_S = 15.0
APPRISE_TIMEOUT_S = 30.0  # from a message to Apprise's word on it, which may be several requests
MAX_RETRY_AFTER_S = 3600.0
MAIL_PORTS = {"starttls": 587, "ssl": 465, "insecure": 25}  # by how the connection is encrypted
RETRY_STATUSES = {408, 409, 425, 429}
BROKEN_STATUSES = {401, 402, 403, 404, 405, 407, 410}


class DeliveryError(SimsightError):
    """A message was not delivered and may be tried again. The error's text holds no secret.

    after_s   seconds to wait before the next attempt, where the other side says so
    """

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class RefusedError(DeliveryError):
    """The other side does not take this message, and will not the next time."""


class ChannelBrokenError(DeliveryError):
    """The channel itself does not work: a variable is missing, the URL cannot be used, or the secret is wrong."""


class Channel(Protocol):
    """Sends messages; open as long as a `with` block lasts."""

    def send(self, message: Message, now: datetime) -> None:
        """Send a message. Raises DeliveryError."""


@contextmanager
def open_channel(row: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Channel]:
    """Open the channel that a row of ops.channels describes. Raises ChannelBrokenError."""
    # these libraries write URLs to the log, and here a URL is a secret
    for library in ("httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.WARNING)
    url = _variable(environment, row["url_variable"])
    if row["kind"] == "webhook":
        secret = _variable(environment, row["secret_variable"])
        if not _is_web_address(url):
            raise ChannelBrokenError(f"{row['url_variable']} holds no http:// or https:// URL")
        try:
            client = httpx.AsyncClient(
                timeout=SEND_TIMEOUT_S, follow_redirects=False, cookies=no_cookies(), **proxy_options(url)
            )
        except ProxyUnusableError as error:
            raise ChannelBrokenError(str(error)) from None
        with asyncio.Runner() as loop:
            try:
                yield Webhook(loop, client, url, secret)
            finally:
                loop.run(client.aclose())
        return
    mail = url.lower().startswith(("mailto://", "mailtos://"))
    if mail:
        yield Mail(url, row["url_variable"])
        return
    with closing(Apprise(url, row["url_variable"])) as channel:
        yield channel


def _variable(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise ChannelBrokenError(f"the environment variable {name} is not set where the sender runs")
    return value


def _is_web_address(url: str) -> bool:
    with suppress(ValueError):
        parts = _split(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    return False


class Webhook:
    """A POST of JSON, signed: X-Simsight-Signature is `v1=` and the HMAC-SHA256 of "<X-Simsight-Timestamp>.<body>".

    Idempotency-Key is the same at every attempt: a receiver that remembers it acts once, whatever crashes.
    """

    def __init__(self, loop: asyncio.Runner, client: httpx.AsyncClient, url: str, secret: str) -> None:
        self._loop, self._client, self._url, self._secret = loop, client, url, secret

    def send(self, message: Message, now: datetime) -> None:
        with tracing.request("POST", urlsplit(self._url).hostname or "") as sent:
            tracing.answered(sent, self._send(message, now))

    def _send(self, message: Message, now: datetime) -> int:
        body = orjson.dumps(message.values | {"text": message.text})
        timestamp = int(now.timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "simsight",
            "Idempotency-Key": message.key,
            "X-Simsight-Timestamp": str(timestamp),
            "X-Simsight-Signature": f"v1={sign(self._secret, timestamp, body)}",
            **tracing.headers(),
        }
        try:
            answer = self._loop.run(self._post(body, headers))
        except TimeoutError:
            raise DeliveryError(f"no answer within {SEND_TIMEOUT_S:g} s, however steadily its bytes came") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ChannelBrokenError(redact(f"the URL cannot be used: {error}", [self._url])) from None
        except httpx.HTTPError as error:
            if why := _untrusted(error):
                raise ChannelBrokenError(f"the certificate of the other side is not trusted: {why}") from None
            said = redact(in_words(error), [self._url, self._secret])
            raise DeliveryError(f"no answer: {said}") from None
        if answer.is_success:
            return answer.status_code
        wait = answer.headers.get("retry-after", "")
        after_s = min(float(wait), MAX_RETRY_AFTER_S) if wait.isdigit() else None
        raise _kind(answer.status_code)(f"it answered {answer.status_code}", after_s)

    async def _post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """The answer's status and headers, in time as a whole. What follows them is not read."""
        async with (
            asyncio.timeout(SEND_TIMEOUT_S),
            self._client.stream("POST", self._url, content=body, headers=headers) as answer,
        ):
            return answer


def _kind(status: int | None) -> type[DeliveryError]:
    """Return the error that an HTTP status other than success means; None: there was no answer."""
    if status is None or status in RETRY_STATUSES or not 300 <= status < 500:
        return DeliveryError
    return ChannelBrokenError if status in BROKEN_STATUSES or status < 400 else RefusedError


def _untrusted(error: BaseException | None) -> str | None:
    """Return why a certificate was rejected, where that is the cause of an error."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error.verify_message if error else None


@dataclass(frozen=True)
class MailUrl:
    """What a URL such as mailtos://user:password@smtp.example.org?from=simsight@example.org&to=ops@example.org says.

    mode      how the connection is encrypted: one of MAIL_PORTS, whose ports are the default
    verify    whether the server's certificate is looked at
    to, cc    the recipients whom the message names; `bcc` are those whom it does not
    """

    host: str
    port: int
    mode: str
    verify: bool
    user: str
    password: str
    sender: str
    to: list[str]
    cc: list[str]
    bcc: list[str]

    @classmethod
    def parse(cls, url: str) -> MailUrl:
        """Read a URL. Raises ValueError, whose text holds nothing of the URL.

        Parameters of the query: from, to, cc, bcc (addresses), mode (starttls, ssl or insecure), verify (no), port,
        user, pass, and smtp for a server that is not the host. The path may also hold recipients. Without `from` the
        sender is the user. Without `to` the recipient is the sender.
        """
        parts = _split(url)
        # a plus sign stands for itself: ann+alerts@example.org
        query = dict(parse_qsl(parts.query.replace("+", "%2B")))
        host = query.get("smtp") or parts.hostname
        if not host:
            raise ValueError("it names no mail server")
        encrypted = parts.scheme == "mailtos"
        mode = query.get("mode", "starttls" if encrypted else "insecure").lower()
        if mode not in MAIL_PORTS:
            raise ValueError(f"mode must be one of {', '.join(MAIL_PORTS)}")
        if encrypted and mode == "insecure":
            raise ValueError("mailtos:// encrypts, so mode must be starttls or ssl")
        port = query.get("port") or str(parts.port or MAIL_PORTS[mode])
        if not port.isdecimal() or not 1 <= int(port) <= 65535:
            raise ValueError("the port must be a number from 1 to 65535")
        user = query.get("user") or unquote(parts.username or "")
        sender = query.get("from") or (user if "@" in user else f"{user}@{parts.hostname or host}")
        (sender, *_) = _addresses("from", sender)
        return cls(
            host=host,
            port=int(port),
            mode=mode,
            verify=query.get("verify", "").lower() not in ("no", "false", "off", "0"),
            user=user,
            password=query.get("pass") or query.get("password") or unquote(parts.password or ""),
            sender=sender,
            to=_addresses("to", query.get("to", ""), *unquote(parts.path).split("/")) or [sender],
            cc=_addresses("cc", query.get("cc", "")),
            bcc=_addresses("bcc", query.get("bcc", "")),
        )


def _split(url: str) -> SplitResult:
    """Split a URL into its parts. Raises ValueError, whose text holds nothing of the URL."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("special characters, such as / ? # in a password, must be percent-encoded") from None
    return parts


def _addresses(name: str, *texts: str) -> list[str]:
    """Return the addresses of texts such as "Ann <ann@example.org>, bob@example.org". Raises ValueError."""
    found = []
    for part in re.split("[,;]", ",".join(texts)):
        addresses = re.findall(r"[^\s@<>\"()]+@[^\s@<>\"()]+", part)
        if part.strip() and not addresses:
            raise ValueError(f"{name} must be e-mail addresses with commas between them")
        found += addresses
    return found


class Mail:
    """E-mail by SMTP: one message to all recipients, with a Message-ID made of its key."""

    def __init__(self, url: str, variable: str) -> None:
        try:
            self._url = MailUrl.parse(url)
        except ValueError as error:
            raise ChannelBrokenError(f"{variable} holds a mail URL that cannot be used: {error}") from None
        self._secrets = [url, self._url.password]

    def send(self, message: Message, now: datetime) -> None:
        url = self._url
        mail = EmailMessage()
        mail["Message-ID"] = f"<{message.key}@simsight>"
        mail["Date"] = format_datetime(now.astimezone(UTC))
        mail["From"], mail["To"] = f"Simsight <{url.sender}>", ", ".join(url.to)
        if url.cc:
            mail["Cc"] = ", ".join(url.cc)
        mail["Subject"] = message.title
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        attach(mail, message.attachments)
        recipients = [*url.to, *url.cc, *url.bcc]
        try:
            with self._connect() as smtp:
                if url.user and url.password:
                    smtp.login(url.user, url.password)
                missed = smtp.send_message(mail, url.sender, recipients)
        except smtplib.SMTPAuthenticationError as error:
            raise ChannelBrokenError(f"the mail server refused the login: {self._said(error)}") from None
        except smtplib.SMTPNotSupportedError as error:  # no STARTTLS, no login: never sent without
            raise ChannelBrokenError(f"the mail server cannot do what the URL asks for: {self._said(error)}") from None
        except ssl.SSLCertVerificationError as error:
            raise ChannelBrokenError(
                f"the certificate of the mail server is not trusted: {error.verify_message}"
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            kind = RefusedError if min(codes, default=0) >= 500 else DeliveryError
            raise kind(f"the mail server refused the recipients ({', '.join(map(str, codes))})") from None
        except smtplib.SMTPResponseException as error:
            kind = RefusedError if error.smtp_code >= 500 else DeliveryError
            raise kind(f"the mail server said {error.smtp_code}: {self._said(error)}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryError(f"no mail server: {self._said(error)}") from None
        if missed:
            logging.getLogger(__name__).warning(
                "a mail server refused %d of %d recipients", len(missed), len(recipients)
            )

    @contextmanager
    def _connect(self) -> Iterator[smtplib.SMTP]:
        url, context = self._url, ssl.create_default_context()
        if not url.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if url.mode == "ssl":
            smtp: smtplib.SMTP = BoundedSmtpOverTls(url.host, url.port, timeout=SEND_TIMEOUT_S, context=context)
        else:
            smtp = BoundedSmtp(url.host, url.port, timeout=SEND_TIMEOUT_S)
        try:
            if url.mode == "starttls":
                smtp.starttls(context=context)
            yield smtp
        finally:
            with suppress(OSError, smtplib.SMTPException):  # the message is taken, however the server ends
                smtp.quit()
            smtp.close()

    def _said(self, error: BaseException) -> str:
        text = error.smtp_error if isinstance(error, smtplib.SMTPResponseException) else in_words(error)
        return redact(text.decode(errors="replace") if isinstance(text, bytes) else str(text), self._secrets)


class Apprise:
    """Slack, Teams, SMS and the other services that Apprise knows, sent by a process of their own within limits.

    Raises ChannelBrokenError where Apprise does not understand the URL.
    """

    def __init__(self, url: str, variable: str) -> None:
        self._url, self._variable = url, variable
        self._child: subprocess.Popen[str] | None = None
        self._start()

    def send(self, message: Message, now: datetime) -> None:
        if self._child is None:
            self._start()
        told = self._asked({"title": message.title, "text": message.text})
        if not told["sent"]:
            said = redact(told["said"] or "Apprise does not say why", [self._url])
            if told["refused"]:
                raise RefusedError(said)
            status = re.search(r"error=([0-9]{3})\b", said)
            raise _kind(int(status[1]) if status else None)(said)

    def close(self) -> None:
        """End the process; the next message starts another."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _start(self) -> None:
        self._child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", apprise_child.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        if self._asked(self._url) is None:
            self.close()
            raise ChannelBrokenError(f"{self._variable} holds no URL that Apprise understands")

    def _asked(self, line: object) -> Any:
        """Return the process's answer to a line, within a time after which the process is killed."""
        child = self._child
        assert child and child.stdin and child.stdout  # noqa: PT018
        clock = threading.Timer(APPRISE_TIMEOUT_S, child.kill)
        clock.start()
        try:
            print(json.dumps(line), file=child.stdin, flush=True)
            answer = child.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            clock.cancel()
        if not answer:
            killed = child.wait() == -signal.SIGKILL
            self.close()
            raise DeliveryError(
                f"no answer within {APPRISE_TIMEOUT_S:g} s" if killed else "the process that sends by Apprise ended"
            )
        return json.loads(answer)


MIN_SECRET_CHARACTERS = 4  # shorter parts of a URL are not removed from texts: they would hit innocent words


@dataclass(frozen=True)
class Message:
    """A message: a title of one line, a text, and the same as values for programs; files for mail alone."""

    key: str
    title: str
    text: str
    values: dict[str, Any]
    attachments: tuple[Attachment, ...] = ()


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Sign the body of a webhook: HMAC-SHA256 of "<timestamp>.<body>", in hex."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return the text on one line, at most 300 characters long, without secrets.

    Of a URL among the secrets every part but the host is removed.
    """
    parts: set[str] = set()
    for secret in secrets:
        parts.add(secret)
        url = urlsplit(secret)
        if url.scheme and url.netloc:
            host = url.hostname or ""
            pieces = [
                url.username or "",
                url.password or "",
                url.query,
                *url.path.split("/"),
                *re.split("[=&]", url.query),
            ]
            parts |= {form for piece in pieces for form in (piece, unquote(piece)) if piece.lower() != host}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= MIN_SECRET_CHARACTERS:
            text = text.replace(part, "***")
    return escaped(" ".join(text.split())[:300])
