"""A simulated fleet's stream through the real webhook into the database: what is stored is what the fleet did."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import polars as pl
import psycopg
from pydantic import SecretStr
from sqlalchemy import URL

from api.app import create_app
from resources.database.server import driver_url
from resources.database.session import Database
from services.access.stream_credentials import create_stream
from services.ingest.stream import process_batches
from simulator.account import SimCards
from simulator.events import EVENT_KINDS
from simulator.fleet import Fleet
from simulator.ledger import moment
from simulator.record_ids import EVENT
from simulator.stream_feed import Feed
from simulator.stream_http import Disturbance, Streamer
from simulator.truth import daily_usage

Serve = Callable[[Any], AbstractContextManager[httpx.Client]]
FIRST, LAST = date(2026, 6, 24), date(2026, 6, 28)  # the firmware loop begins meanwhile
BEGIN = datetime(2026, 6, 23, 23, 59, 59, tzinfo=UTC)
END = BEGIN + timedelta(days=5)

# positions in EVENT_KINDS whose type core.sim_events calls otherwise than the stream does
IN_CORE = {
    3: "Status of SIM changed from 'Issued' to 'Activated'",
    4: "Status of SIM changed from 'Activated' to 'Suspended'",
    5: "Data quota threshold reached",
    6: "Data quota status changed from 'ACTIVE' to 'EXHAUSTED'",
    7: "Data quota topped up",
    8: "SMS quota threshold reached",
    9: "SMS quota status changed from 'ACTIVE' to 'EXHAUSTED'",
    10: "SMS quota topped up",
}


def test_what_is_stored_of_a_disturbed_stream_adds_up_to_the_book(
    database: Database, database_url: URL, serve_app: Serve
) -> None:
    cards = SimCards(Fleet(seed=12, sims=80, start=date(2026, 3, 1)))
    feed, stream = Feed(cards), create_stream(database, "fleet", now=END)
    address = driver_url(database_url, "").render_as_string(hide_password=False)
    disturbance = Disturbance(duplicates=0.2, late=0.2, shuffled=30, reversed=True, broken=0.02)
    with psycopg.connect(address, autocommit=True) as connection:
        for iccid in cards.fleet.iccids:
            connection.execute(
                "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)"
                " VALUES (ops.organization('default'), %s, now(), now())",
                (iccid,),
            )
        with serve_app(create_app(database_url, clock=lambda: END)) as client:
            secret = SecretStr(stream.secret)
            url = f"{str(client.base_url).rstrip('/')}{stream.path}"
            streamer = Streamer(feed, url, stream.stream_id, secret, place=BEGIN, batch=200, disturbance=disturbance)
            streamer.send_until(END)
            streamer.replay(END - timedelta(days=2))
            streamer.send_until(END)
            streamer.close()
        done = process_batches(database, now=END)

        usage = connection.execute(
            "SELECT iccid, day, sum(bytes)::bigint, sum(bytes_rx)::bigint, sum(sms)::bigint"
            " FROM core.stream_usage JOIN core.sims USING (organization_id, sim_key) GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
        events = connection.execute(
            "SELECT iccid, occurred_at, event_type FROM core.sim_events JOIN core.sims USING (organization_id, sim_key)"
        ).fetchall()

    expected = daily_usage(cards.fleet, FIRST, LAST).with_columns(sms=pl.col("sms_mt") + pl.col("sms_mo"))
    shown = expected.select("iccid", "day", "bytes", "bytes_rx", "sms")
    found = pl.DataFrame(usage, schema=shown.schema, orient="row").with_columns(pl.col("bytes_rx").fill_null(0))
    assert found.equals(shown)
    happened = feed.between(BEGIN, END)
    happened = happened.take(np.flatnonzero(happened.kind == EVENT))
    columns = (happened.sim.tolist(), happened.at.tolist(), happened.event.tolist())
    assert {(iccid, at.astimezone(UTC), kind) for iccid, at, kind in events} == {
        (cards.fleet.iccids[i], moment(at), IN_CORE.get(kind, EVENT_KINDS[kind].type_name))
        for i, at, kind in zip(*columns, strict=True)
    }
    assert len(events) == len(happened) > 1000
    assert done.quarantined > 50
