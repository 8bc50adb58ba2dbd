"""Keys of the HTTP service: made, listed, rotated and revoked here; only their SHA-256 is stored.

What a key may do never changes: its scopes, its networks and its organization are those it was made with.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Literal, get_args

from resources.errors import SimsightError, UsageError

if TYPE_CHECKING:  # the HTTP service takes key_sha256 from here and must not load Polars with it
    from resources.database.session import Database

PREFIX = "ss_"
FORM = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")  # 32 bytes in base64
Scope = Literal["read", "alerts", "actions", "admin"]
SCOPES: dict[Scope, str] = {
    "read": "read what the service answers",
    "alerts": "act on alerts, write alert rules, correct tickets, label SIMs and decide on recommendations",
    "actions": "request and approve actions at 1NCE, which spend money",
    "admin": "make, rotate and revoke keys, plan reports, read the log of writes",
}
READ: tuple[Scope, ...] = ("read",)
# what a key or a person is in an organization: scopes by a name, of which several may be given
ROLES: dict[str, frozenset[Scope]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "alerts"}),
    "approver": frozenset({"read", "actions"}),
    "administrator": frozenset({"read", "admin"}),
}
MAX_NETWORKS = 100
MAX_NAME = 100
MAX_OVERLAP = timedelta(days=90)


class ApiKeyError(UsageError):
    """A key cannot be made, rotated or revoked; the message says why and what to do. It never holds a key."""


class NotAllowedError(SimsightError):
    """The key is live, and may not do this, or not from there; the message says what it lacks."""


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key: what it may do, from where, and its times (UTC; None: never).

    live   whether it works now, by the clock of the database server
    """

    key_id: int
    name: str
    scopes: list[str]
    networks: list[str]
    for_tokens: bool
    created_at: datetime
    expires_at: datetime | None
    rotated_at: datetime | None
    revoked_at: datetime | None
    live: bool


@dataclass(frozen=True)
class Rotated:
    """A key's successor, which cannot be shown again, until when it works, and until when the old one does (UTC)."""

    key: str
    expires_at: datetime | None
    old_until: datetime


@dataclass(frozen=True)
class Credential:
    """What a request shows, not looked up yet.

    sha256    of the key
    address   of the client; None: from this process
    needs     the scope that the request needs
    subject   who a token is about; empty for a key
    granted   the scopes that a token gives; None for a key: all that it has
    """

    sha256: bytes
    address: str | None = None
    needs: Scope = "read"
    subject: str = ""
    granted: frozenset[str] | None = None

    @property
    def presented(self) -> bytes:
        """What functions of the database that write are given: they name the subject of a token beside the key."""
        return self.sha256 + self.subject.encode()


@dataclass(frozen=True)
class KeyFacts:
    """What a key was made for."""

    scopes: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]
    for_tokens: bool

    @classmethod
    def of(cls, row: dict[str, Any]) -> KeyFacts:
        return cls(frozenset(row["scopes"]), tuple(map(ip_network, row["networks"])), row["for_tokens"])

    def check(self, credential: Credential) -> None:
        """Raise NotAllowedError where the key may not do what the request needs, or not from its address."""
        if self.networks and credential.address is not None and not _within(credential.address, self.networks):
            raise NotAllowedError("This API key may not be used from your address: its allow-list does not name it.")
        if credential.needs not in self.allowed(credential):
            raise NotAllowedError(lacks(credential.needs))

    def allowed(self, credential: Credential) -> frozenset[str]:
        """The scopes of a request: those of its key, of a token only what the token gives."""
        return self.scopes if credential.granted is None else self.scopes & credential.granted


def lacks(scope: Scope) -> str:
    """Say that a key has not a scope, and what to do."""
    return (
        f"This API key lacks the scope {scope!r} ({SCOPES[scope]}): `simsight api-key create NAME --scope {scope}` "
        "makes one that has it."
    )


def has_form(key: str) -> bool:
    """Whether a text can be a key at all; one that cannot need not be looked up."""
    return FORM.fullmatch(key) is not None


def key_sha256(key: str) -> bytes:
    """Hash a key; the hash is stored and looked up instead of it.

    A plain hash is enough: a key is 256 random bits, not a password.
    """
    return hashlib.sha256(key.encode()).digest()


def new_key() -> str:
    """Make up a key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def checked_name(name: str) -> str:
    """Return the name of a key without spaces around it. Raises ApiKeyError for an empty or overlong one."""
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ApiKeyError(
            f"an API key needs a name of up to {MAX_NAME} printable characters that says what it is for, such as "
            "'dashboard'"
        )
    return name


def scopes_in(words: Iterable[str]) -> frozenset[str]:
    """The scopes that words name, as scopes or as roles; other words name none."""
    return frozenset(scope for word in words for scope in ROLES.get(word, {word} & SCOPES.keys()))


def checked_scopes(scopes: Collection[str]) -> list[Scope]:
    """Return scopes in their order. Raises ApiKeyError for none, and for one that there is not."""
    if not scopes or set(scopes) - set(get_args(Scope)):
        raise ApiKeyError(f"an API key has one or more of the scopes {', '.join(SCOPES)}")
    return [scope for scope in SCOPES if scope in scopes]


def checked_networks(networks: Iterable[str]) -> list[str]:
    """Return networks in the form of PostgreSQL. Raises ApiKeyError for what is none."""
    found = []
    for text in networks:
        try:
            found.append(str(ip_network(text.strip())))
        except ValueError as error:
            raise ApiKeyError(
                f"{text!r} is no network ({error}): write 203.0.113.0/24, 203.0.113.7 or 2001:db8::/32"
            ) from None
    if len(found) > MAX_NETWORKS:
        raise ApiKeyError(f"an API key has at most {MAX_NETWORKS} networks")
    return found


def create_key(
    database: Database,
    name: str,
    *,
    now: datetime,
    valid_for: timedelta | None,
    scopes: Collection[str] = READ,
    networks: Iterable[str] = (),
    by: str = "command line",
) -> str:
    """Make a key that opens the database's organization and return it; it cannot be shown again.

    name       what the key is for; unique among the live keys
    now        the real present: the server checks expiry by its own clock, so a pretended time would mislead
    valid_for  time until it expires; None: never
    scopes     what it may do
    networks   where it may be used from, in CIDR notation; none: everywhere
    by         who makes it, such as "user ann"
    Raises ApiKeyError for an empty or taken name, an unknown scope, or a key that would have expired already.
    """
    key = new_key()
    store_key(
        database, name, key, now=now, valid_for=valid_for, scopes=scopes, networks=networks, by=by, for_tokens=False
    )
    return key


def store_key(
    database: Database,
    name: str,
    key: str,
    *,
    now: datetime,
    valid_for: timedelta | None,
    scopes: Collection[str],
    networks: Iterable[str],
    by: str,
    for_tokens: bool,
) -> None:
    """Store a given key; as create_key.

    for_tokens   whether it stands for the tokens of the identity provider (services/access/tokens.py)
    """
    name = checked_name(name)
    expires_at = None if valid_for is None else now + valid_for
    values = {
        "who": by,
        "name": name,
        "key_sha256": key_sha256(key),
        "now": now,
        "expires_at": expires_at,
        "scopes": checked_scopes(scopes),
        "networks": checked_networks(networks),
        "for_tokens": for_tokens,
    }
    outcome = (database.row("create_api_key", values) or {})["outcome"]
    if problem := refused(outcome, name, expires_at):
        raise ApiKeyError(problem)


def refused(outcome: str, name: str, expires_at: datetime | None) -> str | None:
    """Say why a key was not made; None where it was."""
    if outcome == "taken":
        return f"a live API key named {name!r} exists: revoke it first or choose another name"
    if outcome == "expired":
        return (
            f"the API key {name!r} would have expired at {expires_at:%Y-%m-%d %H:%M} UTC, before the database "
            "server's present time: make it valid for longer, and do not count from a pretended time"
        )
    return None


def list_keys(database: Database) -> list[ApiKey]:
    """All keys of the organization, oldest first, with expired and revoked ones."""
    return [ApiKey(**row) for row in database.rows("list_api_keys")]


def rotate_key(
    database: Database, name: str, *, now: datetime, overlap: timedelta, by: str = "command line"
) -> Rotated:
    """Make a successor of a key: same name, scopes and networks, and as long a life as the old one had.

    overlap   how long the old key works on, unless it expires before
    Raises ApiKeyError when there is no live key of that name.
    """
    key, name = new_key(), checked_name(name)
    if not timedelta() <= overlap <= MAX_OVERLAP:
        raise ApiKeyError(f"the old key may work on for up to {MAX_OVERLAP.days} days")
    values = {"who": by, "name": name, "key_sha256": key_sha256(key), "overlap": overlap, "now": now}
    found = database.row("rotate_api_key", values) or {}
    if problem := not_rotated(found["outcome"], name):
        raise ApiKeyError(problem)
    return Rotated(key, found["expires_at"], found["old_until"])


def not_rotated(outcome: str, name: str) -> str | None:
    """Say why a key was not rotated; None where it was."""
    if outcome == "unknown":
        return f"there is no live API key named {name!r} to rotate; list the keys to see their names"
    if outcome == "tokens":
        return f"{name!r} stands for the tokens of the identity provider and cannot be rotated: revoke it, make it anew"
    return None


def revoke_key(database: Database, name: str, *, by: str = "command line") -> None:
    """Make the key stop working at once. Raises ApiKeyError when there is none of that name to revoke."""
    found = database.row("revoke_api_key", {"who": by, "name": name.strip()}) or {}
    if not found["ended"]:
        raise ApiKeyError(f"there is no API key named {name.strip()!r} to revoke; list the keys to see their names")


def _within(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:  # no address, such as that of a test client
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in network for network in networks)
