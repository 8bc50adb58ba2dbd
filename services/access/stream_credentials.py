"""Streams of 1NCE's Data Streamer: made, listed and revoked here; of their secrets only the SHA-256 is stored."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from resources.errors import UsageError

if TYPE_CHECKING:  # the HTTP service takes secret_sha256 from here and must not load Polars with it
    from resources.database.session import Database


class StreamError(UsageError):
    """A stream cannot be made or revoked; the message says why and what to do. It never holds a secret."""


@dataclass(frozen=True)
class NewStream:
    """What 1NCE's portal asks for: the path of the URL, the user name and the password."""

    stream_id: str
    secret: str

    @property
    def path(self) -> str:
        return f"/streams/1nce/{self.stream_id}"


@dataclass(frozen=True)
class Stream:
    """What is known of a stream; times are UTC, None: never."""

    stream_id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None
    last_at: datetime | None


def secret_sha256(secret: str) -> bytes:
    """Hash a secret; the hash is stored and compared instead of it.

    A plain hash is enough: a secret is 256 random bits.
    """
    return hashlib.sha256(secret.encode()).digest()


def create_stream(database: Database, name: str, *, now: datetime, by: str = "") -> NewStream:
    """Make a stream that brings records for the database's organization; its secret cannot be shown again.

    name   what it is for; unique among the live streams
    by     who makes it; empty: the login of the database
    Raises StreamError for an empty or taken name.
    """
    name = name.strip()
    if not name:
        raise StreamError("a stream needs a name that says what it is for, such as 'usage and events'")
    made = NewStream(secrets.token_urlsafe(9), secrets.token_urlsafe(32))
    values = {"stream_id": made.stream_id, "name": name, "secret_sha256": secret_sha256(made.secret), "now": now}
    with database.transaction() as transaction:
        transaction.row("act_as", {"by": by})
        found = transaction.row("create_stream", values)
    if found is None:
        raise StreamError(f"a live stream named {name!r} exists: revoke it first or choose another name")
    return made


def list_streams(database: Database) -> list[Stream]:
    """All streams of the organization, oldest first, with revoked ones."""
    return [Stream(**row) for row in database.rows("list_streams")]


def revoke_stream(database: Database, name: str, *, now: datetime, by: str = "") -> None:
    """Make the stream stop working at once; what it brought stays. Raises StreamError when there is none to revoke."""
    with database.transaction() as transaction:
        transaction.row("act_as", {"by": by})
        if not transaction.execute("revoke_stream", {"name": name.strip(), "now": now}):
            raise StreamError(
                f"there is no stream named {name.strip()!r} to revoke; list the streams to see their names"
            )
