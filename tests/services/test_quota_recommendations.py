"""Recommendations for quotas, from a filled fleet through the assets: what is stored, what moves it, and what does
not."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assets.quota import quota_policy, quota_recommendations, realized_savings
from assets.scoring_ops import IO_MANAGER, StagedValues
from pipelines.cli.app import app
from resources.runtime import Runtime
from resources.settings import Settings
from services.quota.futures import with_days_out
from services.quota.policy import SPEC, wanted_use
from services.quota.prices import SOLD_SCHEMA, KnownPrices, price_list
from services.quota.recommending import RECOMMENDATIONS
from services.reports.fleet import read_facts
from services.reports.html import render
from services.scoring import plan, publish, score_block, score_day
from tests.fleet import AS_OF, NOW, Truth, at

DAY = timedelta(days=1)
ROWS = "SELECT * FROM predictions.quota_recommendations ORDER BY sim_key, as_of"


def run(runtime: Runtime, as_of: date = AS_OF) -> dict[str, Any]:
    """The metadata of the asset as of a day."""
    resources = {"runtime": runtime, IO_MANAGER: StagedValues(runtime)}
    result = dg.materialize([quota_recommendations], partition_key=as_of.isoformat(), resources=resources)
    (made,) = (event.materialization for event in result.get_asset_materialization_events())
    return {name: getattr(value, "value", value) for name, value in made.metadata.items()}


def advised(truth: Truth, as_of: date = AS_OF) -> dict[int, dict[str, Any]]:
    rows = truth.rows("SELECT * FROM predictions.quota_recommendations WHERE as_of = %s", (as_of,))
    return {row["sim_key"]: row for row in rows}


def decide(truth: Truth, recommendation: int, decision: str) -> None:
    truth.rows(
        "INSERT INTO predictions.recommendation_decisions (organization_id, recommendation_id, decision, decided_by, "
        "decided_at) SELECT organization_id, recommendation_id, %s, 'ann', %s FROM predictions.quota_recommendations "
        "WHERE recommendation_id = %s",
        (decision, NOW, recommendation),
    )


def test_a_day_is_recommended_decided_and_measured(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    metadata = run(runtime)

    assert metadata["state"] == "ok"
    first = advised(truth)
    exhausted = truth.column("SELECT sim_key FROM predictions.exhaustions WHERE status = 'exhausted'")
    assert exhausted
    bought = [first[key] for key in exhausted]
    assert {row["action"] for row in bought} <= {"top_up", "auto_top_up_on"}, (
        "an exhausted SIM that is used needs volume"
    )
    assert all(row["saving_minor"] > 0 and row["outage_p"] < 0.25 for row in bought)
    assert all(row["saving_minor"] == 0 for row in first.values() if row["action"] == "nothing")
    fleet = truth.one("SELECT content FROM predictions.quota_fleet")
    assert fleet["saving_minor"] == pytest.approx(sum(row["saving_minor"] for row in first.values()), abs=len(first))
    assert fleet["at_stake_minor"] - fleet["cost_minor"] == pytest.approx(fleet["saving_minor"], abs=2)
    assert len(fleet["next_year"]) == 12
    assert {"savings by action", "cost against outage"} <= metadata.keys()

    # the same day again, and what came later, change nothing
    kept = truth.versions(("predictions.quota_recommendations", "predictions.quota_fleet"))
    truth.rows(
        "INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type) SELECT organization_id, "
        "sim_key, %s, 'Data quota status changed to EXHAUSTED' FROM core.sims",
        (NOW,),
    )
    truth.rows("UPDATE core.sim_usage SET bytes = bytes * 50 WHERE day > %s", (AS_OF + 8 * DAY,))
    run(runtime)
    assert truth.versions(("predictions.quota_recommendations", "predictions.quota_fleet")) == kept

    # dismissed: the next day offers something else, or nothing; accepted: the same rests
    dismissed, accepted = bought[0], max(bought[1:] or bought, key=lambda row: row["saving_minor"])
    decide(truth, dismissed["recommendation_id"], "dismissed")
    score_day(runtime, RECOMMENDATIONS, AS_OF + DAY, run_id="next")
    following = advised(truth, AS_OF + DAY)
    assert following[dismissed["sim_key"]]["action"] != dismissed["action"]
    decide(truth, accepted["recommendation_id"], "accepted")

    # a month later the use that came is held against what was promised
    october = at(runtime, datetime(2025, 10, 2, 4, 30, tzinfo=NOW.tzinfo))
    early = dg.materialize([realized_savings], resources={"runtime": october})
    assert early.success, "too young to say anything: a state"
    assert truth.one("SELECT count(*) FROM predictions.realized_savings") == 0
    later = at(runtime, datetime(2025, 10, 20, 4, 30, tzinfo=NOW.tzinfo))
    assert dg.materialize([realized_savings], resources={"runtime": later}).success
    measured = {row["scope"]: row for row in truth.rows("SELECT * FROM predictions.realized_savings")}
    acted = [row for row in first.values() if row["action"] != "nothing"]
    assert measured["all"]["sims"] >= len(acted)
    assert measured["accepted"]["sims"] == 1
    assert measured["accepted"]["predicted_minor"] == accepted["saving_minor"]


def test_blocks_of_sims_are_chosen_for_together_and_a_block_can_be_done_again(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    whole = run(at(runtime, NOW, month_budget=40.0))
    assert whole["blocks"] == 1
    rows, fleet = truth.rows(ROWS), truth.one("SELECT content FROM predictions.quota_fleet")
    assert 0 < fleet["spend_minor"][0] <= 4000 < fleet["at_stake_minor"], "the budget binds the fleet as a whole"

    small = at(runtime, NOW, month_budget=40.0, block_sims=15)
    blocks = plan(small, RECOMMENDATIONS, AS_OF, work_id="small")
    assert len(blocks) == 3
    staged = [score_block(small, RECOMMENDATIONS, block) for block in reversed(blocks)]
    assert score_block(small, RECOMMENDATIONS, blocks[1]) == staged[1], "a block again is the same block"
    staging = (
        "SELECT count(*) FROM ops.staged_values WHERE part = 'quota_recommendations' AND name ~ ', (block|shared)'"
    )
    assert truth.one(staging) == 4
    truth.rows("DELETE FROM ops.staged_values WHERE name ~ ', block 2'")
    with pytest.raises(RuntimeError, match=r"block 2 as of .* is not staged"):
        publish(small, RECOMMENDATIONS, AS_OF, staged, run_id="small")
    assert truth.rows(ROWS) == rows
    truth.rows("DELETE FROM ops.block_leases WHERE block = 2")  # else it is known as finished
    staged[0] = score_block(small, RECOMMENDATIONS, blocks[2])
    metadata = publish(small, RECOMMENDATIONS, AS_OF, staged, run_id="small")
    assert (metadata["blocks"], metadata["rows new"], metadata["rows changed"]) == (3, 0, 0)
    assert truth.rows(ROWS) == rows
    again = truth.one("SELECT content FROM predictions.quota_fleet")
    for content in (fleet, again):  # ranges are those of independent sums: they depend on what is summed first
        for row in (*content["next_year"], *content["plans"]):
            del row["cost_p10_minor"], row["cost_p90_minor"]
    assert again == fleet
    assert truth.one(staging) == 0


def test_a_dismissed_action_comes_back_when_its_saving_doubles(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    run(runtime)
    row = max(advised(truth).values(), key=lambda row: row["saving_minor"])
    decide(truth, row["recommendation_id"], "dismissed")
    dearer = at(runtime, NOW, outage_day=11 * runtime.settings.outage_day)
    score_day(dearer, RECOMMENDATIONS, AS_OF + DAY, run_id="dearer")
    assert advised(truth, AS_OF + DAY)[row["sim_key"]]["action"] == row["action"]
    # what was decided on stays as it was, whatever is computed of its day
    score_day(dearer, RECOMMENDATIONS, AS_OF, run_id="again")
    assert advised(truth)[row["sim_key"]]["saving_minor"] == row["saving_minor"]


def test_a_budget_that_holds_nothing_is_a_state(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    metadata = run(at(runtime, NOW, month_budget=0.0))
    assert metadata["state"] == "over_budget"
    assert truth.one("SELECT state FROM predictions.quota_fleet") == "over_budget"
    assert advised(truth)


@pytest.mark.parametrize("break_it", ["products", "file"])
def test_a_price_list_with_holes_says_what_is_missing(
    filled: tuple[Runtime, Truth], tmp_path: Path, break_it: str
) -> None:
    runtime, truth = filled
    if break_it == "products":
        truth.rows("DELETE FROM core.products WHERE name ILIKE 'top%%'")
    else:
        (tmp_path / "prices.json").write_text('{"products": [{"kind": "top_up", "price": 5}]}')
        runtime = at(runtime, NOW, prices=tmp_path / "prices.json")
    metadata = run(runtime)
    wanted = "product top_up is missing" if break_it == "products" else "product top_up: volume is missing"
    assert metadata["state"] == "no_prices"
    assert wanted in metadata["missing"]
    assert not advised(truth)
    assert wanted in truth.one("SELECT note FROM predictions.quota_fleet")


def sold(*rows: dict[str, Any]) -> pl.DataFrame:
    plain = {"product_id": 1, "recurring_minor": None, "currency": "EUR", "ordered": 0}
    return pl.DataFrame([dict.fromkeys(SOLD_SCHEMA) | plain | row for row in rows], schema=SOLD_SCHEMA)


def priced(*rows: dict[str, Any], **settings: Any) -> KnownPrices:
    return price_list(sold(*rows), Settings(_env_file=None, **settings))


TOP_UP = {"name": "Top-up 1.5 GB", "one_time_minor": 900}


def test_prices_are_those_of_the_products_then_of_orders_then_of_settings(tmp_path: Path) -> None:
    found = priced(
        TOP_UP,
        {"product_id": 2, "name": "FlexSIM", "ordered_minor": 1190, "ordered_currency": "EUR", "ordered": 7},
        {"product_id": 3, "name": "Industrial SIM", "one_time_minor": 100},
        {"product_id": 4, "name": "SIM Extension 10 years", "one_time_minor": 500, "currency": "USD"},
        {"product_id": 5, "name": "Battery", "one_time_minor": 1},
        sim_mb=250,
    )
    assert found.prices is not None
    assert found.prices.top_up.volume == 1_500_000_000
    card = found.prices.product("sim")
    assert card is not None
    assert (card.name, card.price, card.volume, card.validity_months) == ("FlexSIM", 1190, 250_000_000, 120)
    assert found.prices.product("extension") is None
    assert any("is in USD" in note for note in found.notes)
    assert any("newest order" in note for note in found.notes)

    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"outage_day": 7, "products": [{"kind": "top_up", "price": 1, "volume": 10}]}))
    own = priced(TOP_UP, prices=file).prices
    assert own is not None
    assert (own.outage_day, own.top_up.price, own.top_up.volume) == (7, 1, 10)


@pytest.mark.parametrize("content", ["{", "[]", '{"products": 1}', '{"products": ["x"]}', '{"plans": [3]}'])
def test_a_broken_price_file_is_a_state(tmp_path: Path, content: str) -> None:
    file = tmp_path / "prices.json"
    file.write_text(content)
    found = priced(TOP_UP, prices=file)
    assert found.prices is None
    assert found.problem
    assert priced(TOP_UP, prices=tmp_path / "none.json").prices is None


def test_a_day_without_volume_is_unknown_and_no_day_without_use() -> None:
    first = AS_OF - 9 * DAY
    history = pl.DataFrame(
        [(sim, first + n * DAY, 5 if n in (0, 1, 4) else 0) for sim in (1, 2, 3) for n in range(10)],
        schema={"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64},
        orient="row",
    )
    out = pl.DataFrame(
        {"sim_key": [1], "out_from": [first + 2 * DAY], "out_to": [first + 4 * DAY]},
        schema={"sim_key": pl.Int32, "out_from": pl.Date, "out_to": pl.Date},
    )
    quotas = pl.DataFrame(
        {"sim_key": [1, 2, 3], "quota_left": [9, 0, 9], "expires_on": [None, None, AS_OF - 2 * DAY]},
        schema={"sim_key": pl.Int32, "quota_left": pl.Int64, "expires_on": pl.Date},
    )
    found = with_days_out(history, out, quotas, AS_OF)
    unknown = {
        sim: [(day - first).days for day in found.filter(pl.col("sim_key") == sim, pl.col("bytes").is_null())["day"]]
        for sim in (1, 2, 3)
    }
    # bytes that came through are known; sim 2 is out since its last use, sim 3 since it expired
    assert unknown == {1: [2, 3], 2: [5, 6, 7, 8, 9], 3: [7, 8, 9]}
    assert found.height == history.height


def test_the_terminal_lists_and_decides_and_the_report_shows_the_money(
    filled: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = filled
    run(runtime)
    monkeypatch.setattr("pipelines.cli.common.load_settings", lambda: runtime.settings)

    def said(*words: str) -> str:
        result = CliRunner().invoke(app, ["recommendations", *words])
        assert result.exit_code == 0, result.output
        return result.output

    first, second, *_ = json.loads(said("list", "--json"))
    assert first["saving_minor"] >= second["saving_minor"] > 0
    said("accept", str(first["recommendation_id"]), "--reason", "ordered", "--by", "ann")
    said("dismiss", str(second["recommendation_id"]))
    (accepted,) = json.loads(said("list", "--decision", "accepted", "--json"))
    assert accepted["recommendation_id"] == first["recommendation_id"]
    assert "there is no recommendation 0" in str(CliRunner().invoke(app, ["recommendations", "accept", "0"]).exception)

    page = render(read_facts(runtime, AS_OF))
    assert first["reason"] in unescape(page)
    assert ", accepted" in page
    content = truth.one("SELECT content FROM predictions.quota_fleet")
    assert f"{content['at_stake_minor'] / 100:,.2f} EUR" in page
    assert "SIMs that do nothing and cost" in page


def test_a_device_wants_what_it_used_before_its_sim_was_out() -> None:
    values = np.full((4, 150), np.nan)
    values[0] = 2.0  # always there
    values[1, :100], values[1, 100:120] = 3.0, 5.0  # without volume from the middle of the days replayed on
    values[2, 40:80] = 7.0  # without volume since before them
    wanted = wanted_use(values)
    assert wanted.shape == (4, 60)
    assert (wanted[0] == 2).all()
    assert (wanted[1, :10], wanted[1, 30:]) == (pytest.approx(3), pytest.approx((3 * 10 + 5 * 20) / 30))
    assert (wanted[2] == 7).all()
    assert (wanted[3] == 0).all(), "of a device that never sent nothing is known"


def test_the_policy_is_replayed_on_the_past_and_registered(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    result = dg.materialize([quota_policy], resources={"runtime": runtime})
    (made,) = result.asset_materializations_for_node("quota_policy")
    found = {name: getattr(value, "value", value) for name, value in made.metadata.items()}
    tested = truth.one("SELECT metrics FROM predictions.backtests WHERE model_name = 'quota-policy'")
    assert tested["ours_cost"] <= tested["nothing_cost"]
    better = tested["ours_cost"] <= tested["rules_cost"] and tested["ours_outages"] <= tested["rules_outages"]
    assert found["role"].startswith("champion" if better else "challenger")
    assert SPEC.inputs(runtime, AS_OF - 60 * DAY).missing.startswith("not enough history to replay: 119 days, 150 ")
    truth.rows("DELETE FROM core.products")
    assert "top_up is missing" in SPEC.inputs(runtime, AS_OF).missing
