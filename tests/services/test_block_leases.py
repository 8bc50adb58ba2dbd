"""A block that is handed out twice is scored once: leases in a real database, taken by several connections."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import URL

from resources.database.session import Database
from resources.registry import Version
from resources.runtime import Runtime
from services import scoring
from services.block_leases import Lease
from services.scoring import Block, Scored, ScoringTask, score_block, stage_value
from tests.fleet import Truth, settings_for

PLACE = {"work_id": "run", "part": "counted", "as_of": date(2025, 9, 22), "block": 0}
OVER = -1.0  # seconds: a lease that has run out when it is taken


@pytest.fixture
def machines(database_url: URL) -> Iterator[list[Database]]:
    """The database as four machines see it."""
    opened = [Database(database_url, "default") for _ in range(4)]
    yield opened
    for database in opened:
        database.close()


def test_of_many_who_want_a_block_at_once_one_gets_it(machines: list[Database]) -> None:
    together = threading.Barrier(len(machines))

    def take(database: Database, block: int) -> bool:
        lease = Lease.of(database, PLACE | {"block": block})
        together.wait()
        return lease.take()[0]

    with ThreadPoolExecutor(len(machines)) as pool:
        for block in range(10):
            assert sum(pool.map(take, machines, [block] * len(machines))) == 1


def test_a_live_lease_is_kept_and_one_that_ran_out_is_taken_over(machines: list[Database]) -> None:
    slow, other = Lease.of(machines[0], PLACE, OVER), Lease.of(machines[1], PLACE)
    assert slow.take() == (True, None)
    assert other.take() == (True, None), "taken over"
    assert slow.take() == (False, None), "and not taken back"
    assert other.take() == (True, None), "its holder renews it"
    assert Lease.of(machines[2], PLACE | {"block": 1}).take() == (True, None), "another block is another's"

    with machines[0].transaction() as transaction:
        assert not slow.finish(transaction, {"rows": 1})
    with machines[1].transaction() as transaction:
        assert other.finish(transaction, {"rows": 2})
    for late in (slow, other, Lease.of(machines[2], PLACE)):
        assert late.take() == (False, {"rows": 2}), "finished, it is nobody's to compute"


def test_a_lease_is_renewed_while_its_holder_works_and_given_up_when_it_fails(
    machines: list[Database], database_url: URL
) -> None:
    truth = Truth(database_url)
    until = "SELECT held_until FROM ops.block_leases"
    lease = Lease.of(machines[0], PLACE, 0.06)
    assert lease.take() == (True, None)
    taken = truth.one(until)
    with lease.kept():
        while truth.one(until) == taken:
            pass
    with pytest.raises(ValueError, match="no room"), lease.kept():
        raise ValueError("no room")
    assert truth.column(until) == []
    truth.close()


def test_a_lease_of_another_organization_is_another(machines: list[Database], database_url: URL) -> None:
    other = Database(database_url, "other")
    assert Lease.of(machines[0], PLACE).take() == (True, None)
    assert Lease.of(other, PLACE).take() == (True, None)
    other.close()


@pytest.fixture
def counted(database_url: URL, tmp_path: Path) -> Iterator[tuple[list[Runtime], Block, Truth]]:
    """Two machines, and a block that both are given."""
    runtimes = [Runtime(settings_for(database_url, tmp_path, "http://127.0.0.1:1")) for _ in range(2)]
    block = Block("counted", PLACE["as_of"], 0, 1, 2, Version(1, "r"), "run", None)
    stage_value(runtimes[0], block.part, block.shared_place, {})
    truth = Truth(database_url)
    yield runtimes, block, truth
    truth.close()
    for runtime in runtimes:
        runtime.close()


def task(score: Callable[[], None]) -> ScoringTask:
    def scored(runtime: Runtime, block: Block, shared: dict[str, Any]) -> Scored:
        score()
        return Scored(pl.DataFrame({"sim_key": [1, 2]}), 2, counts={"odd": 1}, summary={"of": "both"})

    none: Any = None
    return ScoringTask("counted", "m", none, scored, none, none)


def test_a_block_that_is_handed_out_twice_is_scored_once(
    counted: tuple[list[Runtime], Block, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, two), block, truth = counted
    monkeypatch.setattr(scoring, "LOOK_AGAIN_S", 0.01)
    begun, go_on = threading.Event(), threading.Event()
    scored: list[str] = []

    def slowly() -> None:
        scored.append("slowly")
        begun.set()
        assert go_on.wait(60)

    def at_once() -> None:
        scored.append("at once")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(score_block, one, task(slowly), block)
        assert begun.wait(60)
        second = pool.submit(score_block, two, task(at_once), block)
        go_on.set()
        assert first.result() == second.result()
    assert score_block(two, task(at_once), block) == first.result(), "and not once more when it comes late"
    assert scored == ["slowly"]
    assert truth.column("SELECT rows FROM ops.staged_blocks") == [2]


def test_a_block_whose_worker_stood_still_is_staged_by_who_took_it_over(
    counted: tuple[list[Runtime], Block, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, two), block, truth = counted
    monkeypatch.setattr(scoring, "LOOK_AGAIN_S", 0.01)
    scored: list[str] = []

    def stand_still() -> None:
        truth.run("UPDATE ops.block_leases SET held_until = now() - interval '1 second'")
        scored.append(score_block(two, task(lambda: None), block).block.part)

    assert score_block(one, task(stand_still), block) == score_block(two, task(stand_still), block)
    assert scored == ["counted"]
    assert truth.one("SELECT count(*) FROM ops.staged_blocks") == 1


def test_a_block_that_fails_may_be_tried_at_once(counted: tuple[list[Runtime], Block, Truth]) -> None:
    (one, two), block, _ = counted

    def fail() -> None:
        raise ConnectionError("the machine of this block went away")

    with pytest.raises(ConnectionError):
        score_block(one, task(fail), block)
    assert score_block(two, task(lambda: None), block).scored == 2
    with pytest.raises(RuntimeError, match="is not staged"):
        score_block(two, task(lambda: None), replace(block, work_id="of a run that is over"))
