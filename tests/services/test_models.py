"""Champion and challenger on days unseen by both, written down either way, and the way back, over a real MLflow
registry.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml.forecasting.backtest import Backtest
from ml.forecasting.comparison import COMPARISON_SCHEMA, Comparison
from ml.forecasting.promotion import decide
from resources.registry import Version
from resources.runtime import Runtime
from resources.version import code_version
from services.doctor.surroundings import mlflow
from services.forecasting import USAGE_FORECASTS, train
from services.model_specs import FORECASTER
from services.models import RollbackError, champion_of, registry_of, rollback
from services.scoring import score_day
from services.status import model_versions
from tests.fleet import AS_OF, NOW, Truth

DAY = timedelta(days=1)
GOOD = {"rmase": 0.9, "coverage_80": 0.8}


def roles(runtime: Runtime, truth: Truth) -> dict[int, str]:
    """Role of every version; the database, the registry's tags and its alias must agree."""
    found = truth.rows("SELECT model_version, role FROM predictions.backtests ORDER BY 1")
    stored = {row["model_version"]: row["role"] for row in found}
    tagged = runtime.mlflow.search_model_versions(f"name = '{FORECASTER}'")
    assert {int(version.version): version.tags["role"] for version in tagged} == stored
    champion = registry_of(runtime).champion()
    assert champion is not None
    assert stored[champion.version] == "champion"
    return stored


def test_versions_are_compared_on_unseen_days_written_down_and_rolled_back(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    earlier = train(runtime, AS_OF - 14 * DAY)
    assert earlier["role"].startswith("challenger: it knows less than the champion, version 1")
    assert roles(runtime, truth) == {1: "champion", 2: "challenger"}

    # back to the version that knows less: what came after it is unseen by it, and comes to the next training's
    # comparison
    done = rollback(runtime, to=2, by="me", why="to compare")
    assert (done.version, done.before) == (2, 1)
    assert roles(runtime, truth) == {1: "retired", 2: "champion"}
    (who,) = truth.rows("SELECT * FROM predictions.promotions_v1 WHERE model_version = 2")
    assert (who["from_version"], who["decided_by"], who["decided_at"], who["why"]) == (1, "me", NOW, "to compare")
    assert score_day(runtime, USAGE_FORECASTS, AS_OF, run_id="after the rollback")["model version"] == 2

    truth.rows("UPDATE core.sim_usage SET bytes = bytes + 1 WHERE sim_key = 2 AND day = %s", (AS_OF - 40 * DAY,))
    third = train(runtime, AS_OF)
    (row,) = truth.rows("SELECT * FROM predictions.backtests WHERE model_version = 3")
    assert f"2 window(s) from {AS_OF - 14 * DAY} to {AS_OF}" in row["why"]
    assert third["role"] == f"{row['role']}: {row['why']}"
    assert row["comparison"]["champion_version"] == 2
    assert {"rmase", "champion_rmase", "pinball", "champion_pinball"} <= row["comparison"].keys()
    version = runtime.mlflow.get_model_version(FORECASTER, "3")
    assert (version.tags["role"], version.tags["why"]) == (row["role"], row["why"])
    run = runtime.mlflow.get_run(row["run_id"])
    assert run.data.params["code"] == code_version()
    assert run.data.metrics["compared_champion_rmase"] == pytest.approx(row["comparison"]["champion_rmase"])
    assert "comparison.csv" in {file.path for file in runtime.mlflow.list_artifacts(row["run_id"])}

    listed = model_versions(runtime)
    assert [one["version"] for one in listed] == [3, 2, 1]
    assert {one["version"]: one["role"] for one in listed} == roles(runtime, truth)
    words = {one["version"]: (one["why"], one["why_at_training"]) for one in listed}
    assert words[1][0] == "version 2 took its place: to compare"
    if row["role"] == "challenger":
        assert words[2][0] == "to compare", "the champion is explained by its rollback"
        assert runtime.mlflow.get_model_version(FORECASTER, "2").tags["why"] == "to compare"
    else:
        assert words[2][0] == f"version 3 took its place: {row['why']}"
    assert words[2][1].startswith("it knows less than the champion, version 1"), "what training said is kept"

    before = registry_of(runtime).champion()
    assert before is not None
    if before.version == 2:
        rollback(runtime, to=3, by="me")
    assert rollback(runtime, to=None, by="me").version == 2
    assert rollback(runtime, to=None, by="me").version == 1
    assert roles(runtime, truth) == {1: "champion", 2: "retired", 3: "retired"}
    for to, said in (
        (None, "no version before 1"),
        (1, "version 1 is the champion already"),
        (9, "there is no version 9; there are 1, 2, 3"),
    ):
        with pytest.raises(RollbackError, match=said):
            rollback(runtime, to=to, by="me")


def test_a_registry_that_fails_leaves_the_database_as_it_was(
    filled: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = filled
    train(runtime, AS_OF - 14 * DAY)
    before = truth.rows("SELECT * FROM predictions.backtests ORDER BY model_version")

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("the registry went away")

    monkeypatch.setattr(runtime.mlflow, "set_registered_model_alias", fail)
    with pytest.raises(ConnectionError):
        rollback(runtime, to=2, by="me")
    monkeypatch.undo()

    assert truth.rows("SELECT * FROM predictions.backtests ORDER BY model_version") == before
    champion = registry_of(runtime).champion()
    assert champion is not None
    assert champion.version == 1
    assert truth.one("SELECT count(*) FROM predictions.promotions") == 1


def test_a_champion_that_cannot_be_loaded_is_named(filled: tuple[Runtime, Truth]) -> None:
    runtime, _ = filled
    checks = {check.name: check for check in mlflow(runtime)}
    assert checks["champions"].found.startswith("loaded: usage-forecaster 1")
    champion = champion_of(runtime)
    artifacts = runtime.mlflow.get_run(champion.run_id).info.artifact_uri
    model = Path(str(artifacts).removeprefix("file://")) / "model.json"
    saved = model.read_text()
    try:
        model.write_text(saved[: len(saved) // 2])
        (lost,) = [check for check in mlflow(runtime) if check.level == "failed"]
    finally:
        model.write_text(saved)
    assert lost.found.startswith("usage-forecaster version 1 cannot be loaded: ")
    assert "simsight rollback" in lost.to_do


def backtested(**summary: float) -> Backtest:
    return Backtest(frame=pl.DataFrame(), calibration=pl.DataFrame(), summary=GOOD | summary, note="")


def compared(**summary: float) -> Comparison:
    figures = {"rmase": 0.9, "champion_rmase": 0.9, "pinball": 0.2, "champion_pinball": 0.2} | summary
    return Comparison(pl.DataFrame(schema=COMPARISON_SCHEMA), figures, "2 window(s)")


@pytest.mark.parametrize(
    ("backtest", "comparison", "role", "said"),
    [
        (backtested(), compared(), "champion", "not worse than version 4 (error 0.900 against 0.900"),
        (backtested(), compared(rmase=0.8), "champion", "error 0.800 against 0.900"),
        (backtested(), compared(rmase=0.92), "challenger", "error 0.920 against the champion's 0.900, version 4"),
        (backtested(), compared(pinball=0.21), "challenger", "pinball loss 0.210 against the champion's 0.200"),
        (backtested(rmase=1.2), compared(rmase=0.8), "challenger", "its error is 1.20 times"),
        (
            backtested(),
            Comparison(pl.DataFrame(), note="no week has passed"),
            "champion",
            "not compared with version 4: no week has passed",
        ),
    ],
)
def test_the_better_one_on_unseen_days_scores(
    filled_model: Any, backtest: Backtest, comparison: Comparison, role: str, said: str
) -> None:
    found, why = decide(
        backtest,
        as_of=AS_OF,
        champion=Version(4, "r"),
        champion_model=filled_model(AS_OF - 7 * DAY),
        compared=comparison,
    )
    assert found == role
    assert said in why


def test_a_champion_of_other_code_makes_room_whatever_the_backtest_says(filled_model: Any) -> None:
    found, why = decide(
        backtested(rmase=1.2), as_of=AS_OF, champion=Version(4, "r"), champion_model=None, compared=None
    )
    assert found == "champion"
    assert why.startswith(
        "the champion, version 4, cannot score: it is of other code, or its files are broken, although its error is"
    )


@pytest.fixture
def filled_model() -> Any:
    """Makes something that knows its as-of day, all that a decision asks of a rival."""

    class Rival:
        def __init__(self, as_of: date) -> None:
            self.as_of = as_of

    return Rival
