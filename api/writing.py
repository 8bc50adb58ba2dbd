"""What the HTTP service changes in the database: each change is one function of the database that looks at the key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from math import inf
from time import monotonic
from typing import Any

from sqlalchemy import URL

from api.connections import Row
from api.database import Pool, Session
from api.request_ids import request_id
from resources import tracing
from services.access.api_keys import Credential

STREAM_POOL_SIZE = 4
WRITER_POOL_SIZE = 2
SECRET_SECONDS = 5
MAX_SECRETS = 1000


class Writers(Pool):
    """Connections that change what people may change, each by one function of the database that looks at the key."""

    def __init__(self, url: URL | str) -> None:
        super().__init__(url, size=WRITER_POOL_SIZE, spare=0, read_only=False)

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with super()._transaction() as session:
            session.row("api_note_request", {"request_id": request_id()})
            yield session

    def outcome(self, name: str, key: Credential, values: Mapping[str, Any]) -> str:
        """Run <name>.sql of sql/queries, which changes one thing for the organization of a key; returns its column
        `outcome`: done, or why not in a word. Raises as Store.session does.
        """
        with self._transaction() as session:
            found = session.row(name, {"key_sha256": key.presented, **values})
            return str(found["outcome"]) if found else "unknown"

    @contextmanager
    def bulk(self, key: Credential) -> Iterator[Session]:
        """One transaction for services/bulk.py, for the organization of a key, with more time than others have.

        Raises as Store.session does.
        """
        with self._transaction() as session, session.in_one():
            session.take_longer()
            session.enter(replace(key, needs="alerts"))
            yield session

    def open_session(self, key: Credential, session: Credential, hours: int) -> bool:
        """Let a session of the dashboard stand for a key for some hours; whether the key is live.

        Raises as Store.session does.
        """
        with self._transaction() as opened:
            values = {"presented": key.presented, "session_sha256": session.sha256, "hours": hours}
            found = opened.row("dashboard_open_session", values)
            return bool(found and found["opened"])

    def close_session(self, session: Credential) -> None:
        """End a session. Raises as Store.session does."""
        with self._transaction() as opened:
            opened.row("dashboard_close_session", {"session_sha256": session.sha256})

    def change_key(self, name: str, key: Credential, values: Mapping[str, Any]) -> Row:
        """Run <name>.sql of sql/queries, which changes keys, lists or plans in the name of a key; returns its row.

        Raises as Store.session does.
        """
        with self._transaction() as session:
            found = session.row(name, {"presented": key.presented, **values})
            assert found is not None
            return found

    def count_key_use(self, counts: Mapping[str, Any]) -> None:
        """Add the use of keys that was counted; seal the days that are over. Raises as Store.session does."""
        with self._transaction() as session:
            session.row("api_count_key_use", counts)

    def request_action(self, key: Credential, values: Mapping[str, Any]) -> Row:
        """Record a request for an action, or say what it would cost: outcome, action_id, cost_minor, currency.

        Raises as Store.session does.
        """
        with self._transaction() as session:
            found = session.row("api_request_action", {"key_sha256": key.presented, **values})
            assert found is not None
            return found

    def add_rule(self, key: Credential, rule: str, now: datetime) -> int | None:
        """Store a rule (as JSON) that was checked; None where its name is taken or the key may not write."""
        with self._transaction() as session:
            found = session.row("api_add_rule", {"key_sha256": key.presented, "rule": rule, "now": now})
            return int(found["rule_id"]) if found and found["rule_id"] is not None else None

    def switch_rule(
        self, key: Credential, rule_id: int, now: datetime, *, enabled: bool, deleted: bool = False
    ) -> int | None:
        """Switch a rule on or off, or delete it; returns how many alerts were closed.

        Returns None for an unknown rule and for a key that may not write.
        """
        values = {"rule_id": rule_id, "enabled": enabled, "deleted": deleted, "now": now}
        with self._transaction() as session:
            found = session.row("api_switch_rule", {"key_sha256": key.presented, **values})
            return int(found["closed"]) if found and found["closed"] is not None else None


class Streams(Pool):
    """The webhook's connections: readers cannot take them, and they write nothing but bodies of POSTs."""

    def __init__(self, url: URL | str) -> None:
        super().__init__(url, size=STREAM_POOL_SIZE, spare=0, read_only=False)
        self._secrets: dict[str, tuple[float, bytes | None]] = {}

    def secret_sha256(self, stream_id: str) -> bytes | None:
        """What the secret of a live stream hashes to; None for an unknown or revoked one. Raises as Store.session does.

        The answer may be some seconds old: `land` asks again.
        """
        now = monotonic()
        asked_at, known = self._secrets.get(stream_id, (-inf, None))
        if now - asked_at < SECRET_SECONDS:
            return known
        with self._transaction() as session:
            found = session.row("api_stream_secret", {"stream_id": stream_id})
        known = bytes(found["secret_sha256"]) if found and found["secret_sha256"] is not None else None
        if len(self._secrets) >= MAX_SECRETS:
            self._secrets.clear()
        self._secrets[stream_id] = (now, known)
        return known

    def land(self, stream_id: str, secret_sha256: bytes, body: bytes, records: int, now: datetime) -> bool:
        """Keep a body, once, and commit; False when the stream has been revoked. Raises as Store.session does."""
        values = {
            "stream_id": stream_id,
            "secret_sha256": secret_sha256,
            "body": body,
            "records": records,
            "now": now,
            "traceparent": tracing.traceparent(),
        }
        with self._transaction() as session:
            found = session.row("api_land_stream_batch", values)
        return bool(found and found["live"])
