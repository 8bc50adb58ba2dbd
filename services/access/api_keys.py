"""Keys of the HTTP service: made, listed and revoked here; only their SHA-256 is stored."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from resources.errors import UsageError

if TYPE_CHECKING:  # the HTTP service takes key_sha256 from here and must not load Polars with it
    from resources.database.session import Database

PREFIX = "ss_"
FORM = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")  # 32 bytes in base64


class ApiKeyError(UsageError):
    """A key cannot be made or revoked; the message says why and what to do. It never holds a key."""


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key: its name, its times (UTC; None: never), and whether it may write, and act at 1NCE."""

    name: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    can_write: bool
    may_act: bool


def has_form(key: str) -> bool:
    """Whether a text can be a key at all; one that cannot need not be looked up."""
    return FORM.fullmatch(key) is not None


def key_sha256(key: str) -> bytes:
    """Hash a key; the hash is stored and looked up instead of it.

    A plain hash is enough: a key is 256 random bits, not a password.
    """
    return hashlib.sha256(key.encode()).digest()


def create_key(
    database: Database,
    name: str,
    *,
    now: datetime,
    valid_for: timedelta | None,
    can_write: bool = False,
    may_act: bool = False,
) -> str:
    """Make a key that opens the database's organization and return it; it cannot be shown again.

    name       what the key is for; unique among the live keys
    now        the real present: the server checks expiry by its own clock, so a pretended time would mislead
    valid_for  time until it expires; None: never
    can_write  whether it may also act on alerts and write alert rules
    may_act    whether it may also request and approve actions at 1NCE, which spend money or cut devices off
    Raises ApiKeyError for an empty or taken name, or a key that would have expired already.
    """
    name = name.strip()
    if not name:
        raise ApiKeyError("an API key needs a name that says what it is for, such as 'dashboard'")
    key = PREFIX + secrets.token_urlsafe(32)
    expires_at = None if valid_for is None else now + valid_for
    with database.transaction() as transaction:
        made = transaction.row(
            "create_api_key",
            {
                "name": name,
                "key_sha256": key_sha256(key),
                "now": now,
                "expires_at": expires_at,
                "can_write": can_write,
                "may_act": may_act,
            },
        )
        if made is None:
            raise ApiKeyError(f"a live API key named {name!r} exists: revoke it first or choose another name")
        if made["expired"]:
            raise ApiKeyError(
                f"the API key {name!r} would have expired at {expires_at:%Y-%m-%d %H:%M} UTC, before the database "
                "server's present time: make it valid for longer, and do not count from a pretended time"
            )
    return key


def list_keys(database: Database) -> list[ApiKey]:
    """All keys of the organization, oldest first, with expired and revoked ones."""
    return [ApiKey(**row) for row in database.rows("list_api_keys")]


def revoke_key(database: Database, name: str) -> None:
    """Make the key stop working at once. Raises ApiKeyError when there is none of that name to revoke."""
    with database.transaction() as transaction:
        if not transaction.execute("revoke_api_key", {"name": name.strip()}):
            raise ApiKeyError(f"there is no API key named {name.strip()!r} to revoke; list the keys to see their names")
