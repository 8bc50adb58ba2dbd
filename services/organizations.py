"""The organizations of a database, for its administrator: who there is, who is paused, settings of their own, bills."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import psycopg
from sqlalchemy import URL

from resources.database.server import driver_url
from resources.database.session import Transaction
from resources.errors import UsageError
from resources.organization_settings import check_setting
from resources.settings import Settings


@contextmanager
def _as_owner(url: URL) -> Iterator[Transaction]:
    address = driver_url(url, "").render_as_string(hide_password=False)
    with psycopg.connect(address, options="-c role=simsight_owner -c timezone=UTC") as connection:
        yield Transaction(connection)


def organizations(url: URL, now: datetime) -> list[dict[str, Any]]:
    """Each organization by name: state, account, SIMs, newest usage day, last ingest, report and failure, requests."""
    with _as_owner(url) as transaction:
        return transaction.rows("list_organizations", {"now": now})


def pause(url: URL, name: str, *, paused: bool) -> datetime | None:
    """Pause an organization, or let it go on; returns since when it is paused. Raises UsageError for an unknown one."""
    with _as_owner(url) as transaction:
        found = transaction.row("pause_organization", {"name": name, "paused": paused})
    if found is None:
        raise _unknown(name)
    since: datetime | None = found["paused_at"]
    return since


def settings_of(url: URL, name: str) -> list[dict[str, Any]]:
    """The settings that an organization has of its own, who set them and when."""
    with _as_owner(url) as transaction:
        return transaction.rows("settings_of_organization", {"name": name})


def set_settings(url: URL, settings: Settings, name: str, values: dict[str, str], *, by: str) -> None:
    """Give an organization settings of its own, or with an empty value take one from it: all of them or none.

    Raises UsageError for one that it cannot have, or a value that is wrong.
    """
    for setting, value in values.items():
        if value:
            check_setting(settings, setting, value)
    with _as_owner(url) as transaction:
        for setting, value in values.items():
            about = {"name": name, "setting": setting}
            if not value:
                transaction.rows("unset_organization_setting", about)
            elif transaction.row("set_organization_setting", about | {"value": value, "by": by}) is None:
                raise _unknown(name)


def bills(url: URL, month: date) -> list[dict[str, Any]]:
    """What each organization used in the month of a day: SIMs, rows of usage, requests to 1NCE and to the service."""
    with _as_owner(url) as transaction:
        return transaction.rows("organization_bill", {"month": month.replace(day=1)})


def _unknown(name: str) -> UsageError:
    return UsageError(f"there is no organization {name}: `simsight organization list` names those there are")
