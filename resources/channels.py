"""Ways to deliver a notice: e-mail with a Message-ID of its own, whatever else Apprise reaches, and a signed webhook.

A channel's URL and secret come from the environment and are never stored or shown.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import smtplib
import ssl
import threading
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

import httpx
import orjson

from resources.errors import SimsightError

if TYPE_CHECKING:
    from collections.abc import Iterator


SEND_SECONDS = 15.0
LONGEST_WAIT_S = 3600.0
LATER = {408, 409, 425, 429}
UNUSABLE = {401, 402, 403, 404, 405, 407, 410}


class DeliveryError(SimsightError):
    """It was not delivered and may be tried again; `after_s` where the other side says when. The message holds no secret."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class RefusedError(DeliveryError):
    """The other side does not take this message, and will not the next time."""


class ChannelBrokenError(DeliveryError):
    """The channel itself does not work: a variable is missing, the URL makes no sense, the secret is wrong."""


class Channel(Protocol):
    """Sends notices; open as long as a `with` block lasts."""

    def send(self, notice: Notice, now: datetime) -> None:
        """Raises DeliveryError."""


@contextmanager
def open_channel(row: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Channel]:
    """The channel that a row of ops.channels describes. Raises ChannelBrokenError."""
    for library in ("apprise", "httpx", "httpcore", "urllib3"):  # they write URLs to the log: here a URL is a secret
        logging.getLogger(library).setLevel(logging.WARNING)
    url = _variable(environment, row["url_variable"])
    if row["kind"] == "webhook":
        secret = _variable(environment, row["secret_variable"])
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ChannelBrokenError(f"{row['url_variable']} holds no http:// or https:// URL")
        with httpx.Client(timeout=SEND_SECONDS, follow_redirects=False) as client:
            yield Webhook(client, url, secret)
        return
    yield _apprise(url, row["url_variable"])


def _variable(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise ChannelBrokenError(f"the environment variable {name} is not set where the sender runs")
    return value


class Webhook:
    """A POST of JSON, signed: X-Simsight-Signature is `v1=` and the HMAC-SHA256 of "<X-Simsight-Timestamp>.<body>".

    Idempotency-Key is the same at every attempt: a receiver that remembers it acts once, whatever crashes.
    """

    def __init__(self, client: httpx.Client, url: str, secret: str) -> None:
        self._client, self._url, self._secret = client, url, secret

    def send(self, notice: Notice, now: datetime) -> None:
        body = orjson.dumps(notice.values | {"text": notice.text})
        timestamp = int(now.timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "simsight",
            "Idempotency-Key": notice.key,
            "X-Simsight-Timestamp": str(timestamp),
            "X-Simsight-Signature": f"v1={sign(self._secret, timestamp, body)}",
        }
        try:
            answer = self._client.post(self._url, content=body, headers=headers)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ChannelBrokenError(redact(f"the URL makes no sense: {error}", [self._url])) from None
        except httpx.HTTPError as error:
            if why := _untrusted(error):
                raise ChannelBrokenError(f"the certificate of the other side is not trusted: {why}") from None
            said = redact(str(error), [self._url, self._secret])
            raise DeliveryError(f"no answer ({type(error).__name__}): {said}") from None
        if answer.is_success:
            return
        wait = answer.headers.get("retry-after", "")
        after_s = min(float(wait), LONGEST_WAIT_S) if wait.isdigit() else None
        raise _kind(answer.status_code)(f"it answered {answer.status_code}", after_s)


def _kind(status: int | None) -> type[DeliveryError]:
    """What an HTTP status other than success says of the channel and the message; None: there was no answer."""
    if status is None or status in LATER or not 300 <= status < 500:
        return DeliveryError
    return ChannelBrokenError if status in UNUSABLE or status < 400 else RefusedError


def _untrusted(error: BaseException | None) -> str | None:
    """Why a certificate was refused, where that is what an error comes from."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error.verify_message if error else None


def _apprise(url: str, variable: str) -> Channel:
    import apprise
    from apprise.plugins.email import NotifyEmail

    plugin = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if plugin is None:
        raise ChannelBrokenError(f"{variable} holds no URL that Apprise understands")
    return Mail(plugin, url) if isinstance(plugin, NotifyEmail) else Apprise(plugin, url)


class Mail:
    """E-mail by SMTP, as an Apprise mailto:// or mailtos:// URL says; all recipients in one message with a Message-ID from its key."""

    def __init__(self, plugin: Any, url: str) -> None:
        self._plugin, self._secrets = plugin, [url, str(plugin.password or "")]

    def send(self, notice: Notice, now: datetime) -> None:
        plugin = self._plugin
        sender = plugin.from_addr[1]
        to = [address for _, address in plugin.targets]
        mail = EmailMessage()
        mail["Message-ID"] = f"<{notice.key}@simsight>"
        mail["Date"] = format_datetime(now.astimezone(UTC))
        mail["From"], mail["To"] = f"Simsight <{sender}>", ", ".join(to)
        mail["Subject"] = notice.title
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(notice.text)
        try:
            with self._connect() as smtp:
                if plugin.user and plugin.password:
                    smtp.login(plugin.user, plugin.password)
                missed = smtp.send_message(mail, sender, [*to, *plugin.cc, *plugin.bcc])
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
            raise DeliveryError(f"no mail server ({type(error).__name__}): {self._said(error)}") from None
        if missed:
            logging.getLogger(__name__).warning("a mail server refused %d of %d recipients", len(missed), len(to))

    @contextmanager
    def _connect(self) -> Iterator[smtplib.SMTP]:
        from apprise.plugins.email.common import SecureMailMode

        plugin = self._plugin
        context = ssl.create_default_context()
        if not plugin.verify_certificate:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        where = {"host": plugin.smtp_host, "port": plugin.port, "timeout": SEND_SECONDS}
        mode = plugin.secure_mode if plugin.secure else None
        smtp = smtplib.SMTP_SSL(**where, context=context) if mode == SecureMailMode.SSL else smtplib.SMTP(**where)
        try:
            if mode == SecureMailMode.STARTTLS:
                smtp.starttls(context=context)
            yield smtp
        finally:
            with suppress(OSError, smtplib.SMTPException):  # what it has taken it has taken, however it says goodbye
                smtp.quit()
            smtp.close()

    def _said(self, error: BaseException) -> str:
        text = error.smtp_error if isinstance(error, smtplib.SMTPResponseException) else str(error)
        return redact(text.decode(errors="replace") if isinstance(text, bytes) else str(text), self._secrets)


class Apprise:
    """Slack, Teams, SMS and the other services that Apprise knows. It only says whether it went well: why stands in its log."""

    def __init__(self, plugin: Any, url: str) -> None:
        self._plugin, self._url = plugin, url

    def send(self, notice: Notice, now: datetime) -> None:
        heard = _Heard()
        logger = logging.getLogger("apprise")
        logger.addHandler(heard)
        try:
            # said to be text, it is escaped for each service: a label such as <!channel> must not call everyone in Slack
            sent = self._plugin.notify(title=notice.title, body=notice.text, body_format="text")
        except (TypeError, ValueError) as error:
            raise RefusedError(redact(f"Apprise cannot send it: {error}", [self._url])) from None
        finally:
            logger.removeHandler(heard)
        if not sent:
            said = redact("; ".join(heard.lines) or "Apprise does not say why", [self._url])
            status = re.search(r"error=([0-9]{3})\b", said)
            raise _kind(int(status[1]) if status else None)(said)


class _Heard(logging.Handler):
    """What Apprise warns of in this thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._mine = threading.get_ident()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._mine:
            self.lines.append(record.getMessage())


NOTHING_SHORTER = 4  # a part of a URL shorter than that is not looked for in messages: it would hit innocent words


@dataclass(frozen=True)
class Notice:
    """One message: a title of a line, a text, and the same as values for programs."""

    key: str
    title: str
    text: str
    values: dict[str, Any]


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """The signature of a webhook: HMAC-SHA256 of "<timestamp>.<body>", in hex."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text on one line without the secrets, nor any part of a secret URL but its host, at most 300 characters long."""
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
        if len(part) >= NOTHING_SHORTER:
            text = text.replace(part, "***")
    return " ".join(text.split())[:300]
