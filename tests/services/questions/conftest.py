"""One database with a small fleet whose every number is known, for all questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import URL

from api.database import Store
from resources.database.server import driver_url
from resources.database.session import Database
from services.access.api_keys import create_key
from services.questions.answers import Answer
from tests.conftest import administer, copy_database

NOW = datetime(2026, 1, 11, 9, tzinfo=UTC)
# SIMs and SIM-days of `default`, by the tables
HELPERS = """
CREATE TEMP VIEW s AS
SELECT s.sim_key, s.iccid, s.label, s.imei, t.state, c.country, c.operator, q.amount_left / 1e6::float8 AS left_mb,
    right(s.iccid, 3)::integer AS n
FROM core.sims AS s JOIN core.organizations AS o USING (organization_id) LEFT JOIN core.sim_states AS t USING (sim_key)
LEFT JOIN core.sim_connectivity AS c USING (sim_key) LEFT JOIN core.sim_quota AS q USING (sim_key)
WHERE o.slug = 'default';
CREATE TEMP VIEW u AS
SELECT s.*, v.day, v.bytes / 1e6::float8 AS mb, v.sms_mt + v.sms_mo AS sms
FROM s JOIN core.sim_usage AS v USING (sim_key)
"""

Ask = Callable[..., Answer]


class Fleet:
    """The database, asked as the HTTP service asks, and looked at as an administrator."""

    def __init__(self, url: URL) -> None:
        self.url = url
        text = driver_url(url, "").render_as_string(hide_password=False)
        self.administrator = psycopg.connect(text, autocommit=True, row_factory=dict_row)
        for statement in (Path(__file__).parent / "seed.sql").read_text().split(";\n\n"):
            self.administrator.execute(statement.encode())
        self.administrator.execute("ANALYZE")
        for statement in HELPERS.split(";\n"):
            self.administrator.execute(statement.encode())
        self.keys = {}
        for organization in ("default", "other"):
            database = Database(url, organization)
            self.keys[organization] = create_key(database, "questions", now=datetime.now(UTC), valid_for=None)
            database.close()
        self.store = Store(url)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        return self.administrator.execute(statement.encode()).fetchall()

    def ask(
        self, text: str, *, organization: str = "default", now: datetime = NOW, language: str | None = None
    ) -> Answer:
        with self.store.session(self.keys[organization]) as session:
            return session.answer(text, now, language)

    def close(self) -> None:
        self.store.close()
        self.administrator.close()


@pytest.fixture(scope="package")
def fleet(postgres: URL, template: str) -> Iterator[Fleet]:
    name = f"{template}_questions_{uuid4().hex[:8]}"
    copy_database(postgres, template, name)
    opened = Fleet(postgres.set(database=name))
    yield opened
    opened.close()
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")
