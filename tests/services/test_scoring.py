"""Scoring over blocks of SIMs: the same rows however SIMs are divided, only what changed, and a failed block again
alone.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.scoring_ops import RETRY
from pipelines.definitions import code_location
from resources.database.session import Merged, Transaction
from resources.runtime import Runtime
from services import forecasting
from services.exhaustion import EXHAUSTIONS
from services.forecasting import USAGE_FORECASTS
from services.packing import pack
from services.scoring import LEFT_BEHIND, ScoringTask, plan, publish, score_block, score_day
from tests.fleet import AS_OF, Truth

pytestmark = pytest.mark.timescaledb

DAY = timedelta(days=1)
FORECASTS = "SELECT sim_key, day, mean, q025, q10, q50, q90, q975 FROM predictions.usage_forecasts ORDER BY 1, 2"
ENDS = """
SELECT sim_key, status, cause, p_7, p_14, p_30, p10_date, p50_date, p90_date FROM predictions.exhaustions ORDER BY 1
"""

ROWS_KNOWN = "SELECT reltuples FROM pg_class WHERE oid = 'predictions.exhaustions'::regclass"


@pytest.fixture
def divided(filled: tuple[Runtime, Truth]) -> Iterator[tuple[Runtime, Truth]]:
    """The scored fleet of 40 SIMs, from now on in blocks of 15."""
    runtime, truth = filled
    with Runtime(runtime.settings.model_copy(update={"block_sims": 15})) as small:
        yield small, truth


def both(runtime: Runtime, run_id: str) -> list[tuple[int, int]]:
    """SIMs scored and SIMs left as they were, of forecasts and of exhaustions."""
    done = [score_day(runtime, task, AS_OF, run_id=run_id) for task in (USAGE_FORECASTS, EXHAUSTIONS)]
    return [(one["SIMs scored"], one["SIMs as before"]) for one in done]


def test_only_sims_with_new_data_are_scored_again(divided: tuple[Runtime, Truth]) -> None:
    runtime, truth = divided
    sims = truth.one("SELECT count(DISTINCT sim_key) FROM predictions.usage_forecasts")
    ends = truth.one("SELECT count(*) FROM predictions.exhaustions")

    assert both(runtime, "nothing new") == [(0, sims), (0, ends)]

    truth.rows("UPDATE core.sim_usage SET bytes = bytes + 9000000 WHERE sim_key = 2 AND day = %s", (AS_OF - DAY,))
    assert both(runtime, "usage corrected") == [(1, sims - 1), (1, ends - 1)]

    truth.rows("UPDATE core.sim_quota SET amount_left = amount_left - 1000000 WHERE kind = 'data' AND sim_key = 3")
    assert both(runtime, "volume left corrected") == [(0, sims), (1, ends - 1)]

    truth.rows("DELETE FROM predictions.usage_forecasts WHERE sim_key IN (4, 5)")
    assert both(runtime, "rows lost") == [(2, sims - 2), (0, ends)]
    assert truth.one("SELECT count(*) FROM ops.staged_blocks") == 0


def test_rows_of_a_new_table_have_statistics_before_others_look_at_them(
    divided: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    # without them, a look at the row of each SIM has read all rows of the day each time: hours for 100,000 SIMs
    runtime, truth = divided
    merge = Transaction.merge
    counted: list[float] = []

    def watched(self: Transaction, name: str, rows: pl.DataFrame) -> Merged:
        if name == "merge_scored_sims":
            found = self.connection.execute(ROWS_KNOWN).fetchone()
            counted.append(found[0] if found else -1)
        return merge(self, name, rows)

    monkeypatch.setattr(Transaction, "merge", watched)
    truth.rows("TRUNCATE predictions.exhaustions")
    truth.rows("ANALYZE predictions.exhaustions")  # as the first ingest run does, which finds it empty
    sims = score_day(runtime, EXHAUSTIONS, AS_OF, run_id="first day")["SIMs scored"]
    assert len(counted) == 3  # blocks
    assert counted[0] == 15
    assert truth.one("SELECT count(*) FROM predictions.exhaustions") == sims


def test_sims_have_the_same_rows_in_whatever_block_they_are(divided: tuple[Runtime, Truth]) -> None:
    runtime, truth = divided
    whole = truth.rows(FORECASTS), truth.rows(ENDS)
    for table in ("predictions.usage_forecasts", "predictions.exhaustions", "ops.scored_sims"):
        truth.run(f"DELETE FROM {table}")

    usage = score_day(runtime, USAGE_FORECASTS, AS_OF, run_id="in blocks")
    score_day(runtime, EXHAUSTIONS, AS_OF, run_id="in blocks")

    assert usage["blocks"] == 3
    assert (truth.rows(FORECASTS), truth.rows(ENDS)) == whole


def test_what_blocks_share_waits_in_the_database_until_they_are_published(divided: tuple[Runtime, Truth]) -> None:
    runtime, truth = divided
    truth.run("DELETE FROM ops.scored_sims")
    waiting = "SELECT work_id FROM ops.staged_values WHERE name !~ 'published|outlook' ORDER BY 1"
    plan(runtime, EXHAUSTIONS, AS_OF, work_id="cut off")
    truth.rows("UPDATE ops.staged_values SET staged_at = staged_at - %s", (2 * LEFT_BEHIND,))

    blocks = plan(runtime, EXHAUSTIONS, AS_OF, work_id="whole")
    assert truth.column(waiting) == ["whole"], "what another run left behind goes"
    assert all(len(pack(asdict(block))) < 1000 for block in blocks), "a block is a reference, and small"
    staged = [score_block(runtime, EXHAUSTIONS, block) for block in blocks]
    publish(runtime, EXHAUSTIONS, AS_OF, staged, run_id="whole")

    assert truth.column(waiting) == []
    with pytest.raises(RuntimeError, match=r"exhaustions, shared as of .* of run whole is not staged"):
        score_block(runtime, EXHAUSTIONS, blocks[0])


@pytest.mark.parametrize("task", [USAGE_FORECASTS, EXHAUSTIONS], ids=lambda task: task.name)
def test_a_publication_that_fails_after_its_commit_is_tried_again(
    divided: tuple[Runtime, Truth], task: ScoringTask
) -> None:
    runtime, truth = divided
    truth.run("DELETE FROM ops.scored_sims")
    staged = [score_block(runtime, task, block) for block in plan(runtime, task, AS_OF, work_id="again")]

    def broken(runtime: Runtime, as_of: Any) -> dict[str, Any]:
        raise ValueError("ParseFatalException: Expected end of text")

    with pytest.raises(ValueError, match="ParseFatal"):
        publish(runtime, replace(task, show=broken), AS_OF, staged, run_id="again")
    table = f"predictions.{task.name}"
    before = truth.versions([table])
    again = publish(runtime, task, AS_OF, staged, run_id="again")
    assert (again["SIMs scored"], again["blocks"]) == (sum(done.scored for done in staged), 3)
    assert truth.versions([table]) == before, "what is published stays as it is"

    truth.run("DELETE FROM ops.scored_sims")
    truth.run(f"DELETE FROM {table}")
    anew = score_day(runtime, task, AS_OF, run_id="again")
    assert anew["rows new"] == len(before[table]), "planned anew, the day is written anew"


def test_a_block_that_fails_is_tried_again_alone_and_the_day_appears_whole(
    divided: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = divided
    whole = truth.rows(FORECASTS)
    truth.rows("DELETE FROM predictions.usage_forecasts")
    tried: list[int] = []
    visible: list[int] = []
    honest = forecasting.forecast_block

    def forecast_block(runtime: Runtime, block: Any, sim_keys: Any) -> Any:
        tried.append(block.number)
        visible.append(truth.one("SELECT count(*) FROM predictions.usage_forecasts"))
        if block.number == 1 and tried.count(1) == 1:
            raise ConnectionError("the machine of this block went away")
        return honest(runtime, block, sim_keys)

    monkeypatch.setattr(forecasting, "forecast_block", forecast_block)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with dg.DagsterInstance.ephemeral() as instance:
        run = (
            code_location(runtime)
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey("usage_forecasts")],
                partition_key=AS_OF.isoformat(),
                run_config={"loggers": {"terminal": {}}},
            )
        )

    assert RETRY.max_retries > 0
    again = [event.step_key for event in run.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    assert again == [f"usage_forecasts.score_usage_forecasts[{AS_OF:%Y%m%d}_1]"]
    assert sorted(tried) == [0, 1, 1, 2]
    handed = truth.column("SELECT name FROM ops.staged_values WHERE name !~ 'published|outlook' ORDER BY name")
    assert len(handed) == 6, "three blocks planned and three scored: the steps have no disk in common"
    assert all("shared" not in name for name in handed)
    assert set(visible) == {0}, "nothing of a day is seen before all of it is scored"
    assert truth.rows(FORECASTS) == whole
