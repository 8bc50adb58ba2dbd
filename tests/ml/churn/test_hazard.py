"""The hazard of SIMs' ends: labels, competing risks, features that know no future, and what is foreseen."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from importlib.resources import files

import numpy as np
import polars as pl
import pytest

from ml.churn import (
    Evaluation,
    Hazard,
    Histories,
    NotEnoughHistoryError,
    RiskRules,
    evaluate_churn,
    predict_hazard,
    reasons_of,
    retention_actions,
    snapshot,
    train_hazard,
)
from ml.churn.actions import CONTRIBUTIONS, MIN_REASON, REASONS, VALUE_SCHEMA, _largest, contributions, importance
from ml.churn.competing import HORIZONS, by_months, cumulative_incidence
from ml.churn.ends import CAUSES, FACT_SCHEMA, chance_of_return, closing_lags, ends_of
from ml.churn.evaluation import lines
from ml.churn.features import SCHEMAS, SIM_SCHEMA
from ml.churn.hazard import AHEAD, OUTER_SCHEMA, RISK_SCHEMA, labels_of, month_ends, sim_months
from ml.churn.starter import FILE, STARTER, starter_hazard
from ml.history import USAGE_SCHEMA
from ml.plots.churn import plot_churn_calibration, plot_churn_lift, plot_churn_reasons
from ml.words import CHURN_FACTS, churn_fact

FIRST, DAYS = date(2024, 1, 1), 500
LAST = FIRST + timedelta(days=DAYS - 1)
DAY = timedelta(days=1)
LAGS = pl.DataFrame({"rhythm": [0, 1, 2], "sims": [9, 9, 9], "closing_days": [21, 45, 90]})


def facts_of(*rows: tuple[int, date, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=FACT_SCHEMA, orient="row")


def daily(sim: int, first: date, last: date) -> pl.DataFrame:
    days = pl.date_range(first, last, "1d", eager=True)
    return pl.DataFrame({"sim_key": sim, "day": days, "bytes": 1000}).cast(USAGE_SCHEMA)  # type: ignore[arg-type]


def fleet(sims: int = 500, seed: int = 1) -> Histories:
    """Sixteen months of daily reporters; four in five end, after fading for two months (switched off) or missing ever
    more days (dead)."""
    rng = np.random.default_rng(seed)
    end = np.where(rng.random(sims) < 0.8, rng.integers(80, 520, sims), 9999)
    off = rng.random(sims) < 0.5
    at = np.arange(DAYS)[None, :]
    before = end[:, None] - at
    nearing = np.clip(1 - before / 60, 0, 1)
    volume = 10 ** rng.uniform(4, 6, (sims, 1)) * rng.gamma(8, 1 / 8, (sims, DAYS))
    volume *= np.where(off[:, None], 1 - 0.8 * nearing, 1)
    volume *= rng.random((sims, DAYS)) < 0.95 - np.where(off[:, None], 0, 0.5) * nearing
    volume *= before > 0
    sim, day = np.nonzero(volume.astype(np.int64))
    usage = pl.DataFrame(
        {"sim_key": sim, "day": np.datetime64(FIRST) + day, "bytes": volume[sim, day].astype(np.int64)}
    )
    facts = [(int(n), FIRST + int(end[n] + 8) * DAY, "disabled") for n in np.flatnonzero(off & (end < DAYS - 8))]
    keys = np.arange(sims, dtype=np.int32)
    cards = pl.DataFrame({"sim_key": keys, "activated_on": FIRST, "device_type": rng.choice(["A", "B"], sims)})
    cards = cards.with_columns(peer_group=pl.lit(None), label_group=pl.format("site {}", pl.col("sim_key") % 25))
    return Histories(cards.select(list(SIM_SCHEMA)), usage, facts_of(*facts)).checked()


@pytest.fixture(scope="module")
def histories() -> Histories:
    return fleet()


@pytest.fixture(scope="module")
def model(histories: Histories) -> Hazard:
    return train_hazard(histories, as_of=LAST, leaves=(3,), max_rows=8000)


@pytest.fixture(scope="module")
def evaluation(histories: Histories) -> Evaluation:
    return evaluate_churn(
        histories,
        as_of=LAST,
        min_ends=30,
        leaves=(3,),
        ceiling=lambda snapshots: np.full((snapshots.height, len(HORIZONS), len(CAUSES)), 0.1),
    )


def aalen_johansen(times: np.ndarray, causes: np.ndarray, months: int, kinds: int) -> np.ndarray:
    """By brute force, (months, kinds): times in months (0 first), causes -1 for none seen up to and with that month."""
    survival, found, total = 1.0, [], np.zeros(kinds)
    for month in range(months):
        there = (times >= month).sum()
        ended = np.array([((times == month) & (causes == kind)).sum() for kind in range(kinds)])
        total = total + survival * ended / max(there, 1)
        survival *= 1 - ended.sum() / max(there, 1)
        found.append(total)
    return np.array(found)


def test_incidence_is_that_of_aalen_and_johansen() -> None:
    rng = np.random.default_rng(5)
    times, causes = rng.integers(0, 6, 200), rng.integers(-1, 3, 200)
    hazards = np.array(
        [
            [((times == month) & (causes == kind)).sum() / (times >= month).sum() for kind in range(3)]
            for month in range(6)
        ]
    )
    ours = cumulative_incidence(hazards[None], np.zeros((1, 6, 0)))[0]
    expected = aalen_johansen(times, causes, 6, 3)
    assert np.allclose(ours[:-1], expected[:-1])
    assert ours[-1].sum() == pytest.approx(expected[-1].sum(), abs=0.01)


def test_all_causes_and_none_add_up_and_none_ever_falls() -> None:
    rng = np.random.default_rng(6)
    hazards = rng.dirichlet(np.ones(4), (50, 6))[:, :, :3] * rng.random((50, 1, 1))
    outer = np.sort(rng.random((50, 6, 2)), axis=1)
    found = cumulative_incidence(hazards, outer)
    staying = np.prod(1 - hazards.sum(axis=2), axis=1) * np.prod(1 - outer[:, -1], axis=1)
    assert np.allclose(1 - found[:, -1].sum(axis=1), staying, atol=1e-9)
    assert np.all(np.diff(found, axis=1) >= -1e-12)
    assert np.all(
        found[:, -1, :3].sum(axis=1) <= cumulative_incidence(hazards, 0 * outer)[:, -1, :3].sum(axis=1) + 1e-12
    )
    months = by_months(np.array([[0.1, 0.2, 0.2, 0.5]]))
    assert np.allclose(months[0, [0, 1, 2, 5]], [0.1, 0.2, 0.2, 0.5])
    assert np.all(np.diff(months) >= 0)
    with pytest.raises(ValueError, match="within 0 and 1"):
        by_months(np.array([[0.1, 0.2, 0.2, 1.5]]))


def test_each_cause_is_told_from_what_was_said() -> None:
    last = FIRST + 200 * DAY
    usage = pl.concat([daily(sim, FIRST, last) for sim in range(6)] + [daily(6, FIRST, LAST - 20 * DAY)])
    facts = facts_of(
        (1, last + 20 * DAY, "disabled"),
        (2, last + 1 * DAY, "swapped"), (2, last + 9 * DAY, "disabled"),
        (3, last, "exhausted"),
        (4, last, "exhausted"), (4, last, "topped_up"),
        (5, FIRST + 9 * DAY, "disabled"), (5, FIRST + 19 * DAY, "enabled"),
        (6, LAST - 19 * DAY, "disabled"),
    )  # fmt: skip
    found = dict(ends_of(usage, facts, as_of=LAST, lags=LAGS).select("sim_key", "cause").iter_rows())
    # 3 is exhausted; of 6 too little is known yet
    assert found == {0: "dead_device", 1: "switched_off", 2: "swapped", 4: "dead_device", 5: "dead_device"}
    days = dict(ends_of(usage, facts, as_of=LAST, lags=LAGS).select("sim_key", "ended_on").iter_rows())
    assert days[0] == last + 4 * DAY
    assert ends_of(usage, facts, as_of=last + 20 * DAY, lags=LAGS).is_empty()
    with pytest.raises(ValueError, match="the facts hold 'sold'"):
        ends_of(usage, facts_of((1, LAST, "sold")), as_of=LAST, lags=LAGS)


def test_silences_that_often_end_close_late() -> None:
    rng = np.random.default_rng(7)
    parts = []
    for sim in range(60):
        days = np.ones(DAYS, dtype=bool)
        for start in rng.integers(20, 330, 3):
            days[start : start + (30 if sim < 30 else 10)] = False
        days[400 if sim % 3 else DAYS :] = False
        parts.append(daily(sim, FIRST, LAST).filter(pl.Series(days)))
    usage = pl.concat(parts)
    lags = dict(closing_lags(usage, facts_of(), as_of=LAST).select("rhythm", "closing_days").iter_rows())
    assert lags[0] == 60  # up to 60 days, where two pauses overlap, many come back
    back = chance_of_return(usage, as_of=LAST, days=60)
    assert back[4] > 0.7
    assert back[-1] < 0.3
    assert np.all(np.diff(back[~np.isnan(back)]) <= 1e-12)


def test_no_month_is_used_that_reaches_into_the_closing_lag(histories: Histories) -> None:
    labels = labels_of(histories, as_of=LAST)
    rows = sim_months(histories, labels, month_ends(histories, as_of=LAST), gap_days=3)
    late = rows.join(labels.closed, on="sim_key").filter(pl.col("month_to") > pl.col("closed_on"))
    assert late.is_empty()
    assert rows["month_to"].max() <= LAST - timedelta(days=14)  # type: ignore[operator]
    ends = rows.filter(pl.col("cause").is_not_null()).join(labels.ends, on="sim_key")
    begin = pl.col("month_to") - pl.duration(days=30)
    assert ends.filter((pl.col("ended_on") <= begin) | (pl.col("ended_on") > pl.col("month_to"))).is_empty()
    assert ends.filter(pl.col("ended_on") <= pl.col("snapshot") + pl.duration(days=3)).is_empty()


def test_what_comes_after_the_snapshot_moves_nothing(histories: Histories, model: Hazard) -> None:
    day = date(2025, 1, 31)
    rng = np.random.default_rng(8)
    later = histories.usage.filter(pl.col("day") > day)
    shuffled = later.with_columns(
        sim_key=later["sim_key"].shuffle(seed=1), bytes=pl.Series(rng.integers(0, 10**8, later.height))
    ).unique(["sim_key", "day"])
    other = replace(
        histories,
        usage=pl.concat([histories.usage.filter(pl.col("day") <= day), shuffled.cast(USAGE_SCHEMA)]),  # type: ignore[arg-type]
        facts=pl.concat(
            [
                histories.facts.filter(pl.col("day") <= day),
                facts_of(*[(sim, day + DAY, "expired") for sim in range(99)]),
            ]
        ),
    )
    assert snapshot(other, day).equals(snapshot(histories, day))
    assert predict_hazard(model, other, as_of=day).equals(predict_hazard(model, histories, as_of=day))
    again = train_hazard(other, as_of=day, leaves=(3,), max_rows=3000, min_ends=30)
    first = train_hazard(histories, as_of=day, leaves=(3,), max_rows=3000, min_ends=30)
    assert again.to_dict() == first.to_dict()


def test_risks_are_whole_and_the_same_after_json(histories: Histories, model: Hazard) -> None:
    outer = pl.DataFrame({"sim_key": [0] * 4, "horizon_days": HORIZONS, "p_exhausted": [0.1, 0.2, 0.3, 0.6]})
    outer = outer.with_columns(p_expired=pl.lit(0.0)).cast(OUTER_SCHEMA)  # type: ignore[arg-type]
    day = date(2025, 3, 31)
    found = predict_hazard(model, histories, as_of=day, outer=outer)
    assert dict(found.schema) == RISK_SCHEMA
    parts = found.select(pl.sum_horizontal(pl.col("^p_.*$"))).to_series()
    assert np.allclose(parts, found["any_end"])
    assert np.allclose(found.select(pl.sum_horizontal(*(f"p_{cause}" for cause in CAUSES))).to_series(), found["risk"])
    falls = found.with_columns(step=pl.col("any_end").diff().over("sim_key")).filter(pl.col("step") < 0)
    assert falls.is_empty()
    kept = Hazard.from_dict(json.loads(json.dumps(model.to_dict())))
    assert predict_hazard(kept, histories, as_of=day, outer=outer).equals(found)
    with pytest.raises(ValueError, match="format 9"):
        Hazard.from_dict(model.to_dict() | {"format": 9})
    assert set(model.learners) == {"dead_device", "switched_off"}
    assert set(model.constant) == {"swapped"}


def test_later_ends_of_other_sims_are_foreseen_better_than_by_silence_alone(evaluation: Evaluation) -> None:
    assert evaluation.status == "ok", evaluation.note
    at = {name: row for name, *row in evaluation.frame.filter(cause="any", horizon_days=30).select(
        "model", "auc", "lift10", "ece").iter_rows()}  # fmt: skip
    assert at["hazard"][0] > 0.8
    assert at["hazard"][0] > at["days since last activity"][0] + 0.1
    assert at["hazard"][0] > at["plain recipe"][0] + 0.05
    assert at["hazard"][1] > 4
    assert at["hazard"][2] < 0.05
    assert len(lines(evaluation)) == evaluation.frame.height + 1


def test_baselines_and_the_true_hazard_stand_beside_each_cause(evaluation: Evaluation) -> None:
    of = evaluation.frame.filter(horizon_days=90)
    for cause in ("any", "dead_device", "switched_off"):
        assert {"hazard", "logistic regression", "plain recipe", "true hazard"} <= set(of.filter(cause=cause)["model"])
    same = of.filter(model="true hazard")
    assert same["auc"].to_list() == [0.5] * same.height
    any_end, dead = (same.row(by_predicate=pl.col("cause") == cause, named=True) for cause in ("any", "dead_device"))
    # one end excludes the others: 1 - 0.9 ** 3 of any, 0.1 of one
    for row, stated in ((any_end, 0.271), (dead, 0.1)):
        assert row["ece"] == pytest.approx(abs(stated - row["ends"] / row["n"]))


def test_too_few_ends_are_said(histories: Histories) -> None:
    some = histories.of(pl.Series("sim_key", range(40), dtype=pl.Int32))
    with pytest.raises(NotEnoughHistoryError, match=r"not enough history to train: \d+ ends, 100 needed"):
        train_hazard(some, as_of=LAST)
    with pytest.raises(ValueError, match="not enough history to train: 0 ends, 100 needed"):
        train_hazard(histories, as_of=FIRST + 40 * DAY)
    assert evaluate_churn(some, as_of=LAST).status == "not tested"
    with pytest.raises(ValueError, match=r"usage lacks the column\(s\) bytes"):
        train_hazard(replace(histories, usage=histories.usage.drop("bytes")), as_of=LAST)


@pytest.mark.parametrize("least", [MIN_REASON, 0.6])
def test_reasons_of_many_sims_are_those_of_each_by_itself(
    histories: Histories, model: Hazard, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.churn.actions.MIN_REASON", least)
    features = snapshot(histories, LAST - 160 * DAY)
    risks = predict_hazard(model, histories, as_of=LAST - 160 * DAY).filter(pl.col("horizon_days") == 90)
    reasons = reasons_of(model, features, risks)
    assert reasons["sim_key"].to_list() == features["sim_key"].to_list()
    names = [column.name for column in model.columns.columns]
    by_sim = {row["sim_key"]: [row[f"p_{cause}"] for cause in CAUSES] for row in risks.iter_rows(named=True)}
    known = features.to_dicts()
    added = {cause: contributions(model, cause, features, month=2) for cause in model.learners}
    seen = set()
    for row, (sim, cause, said, kept) in enumerate(reasons.iter_rows()):
        assert cause == CAUSES[int(np.argmax(by_sim.get(sim, [0])))]
        weights = added[cause][row] if cause in added else np.zeros(len(names))
        best = [at for at in np.argsort(-weights)[:REASONS] if weights[at] >= least]
        expected = "; ".join(churn_fact(names[at], known[row].get(names[at])) for at in best)
        assert said == (expected or "nothing stands out")
        largest = [at for at in np.argsort(-np.abs(weights))[:CONTRIBUTIONS] if abs(weights[at]) >= least]
        assert [one["feature"] for one in kept] == [names[at] for at in largest]
        assert [one["log_odds"] for one in kept] == [weights[at] for at in largest]
        for one in kept:
            value = known[row][one["feature"]]
            assert (one["text"] if isinstance(value, str) else one["number"]) == value
            assert isinstance(value, str) == (one["number"] is None and one["text"] is not None)
        seen.add(len(best))
    assert seen >= ({1, 2, 3} if least == MIN_REASON else {0, 1})
    assert reasons_of(model, features.clear(), risks).schema == reasons.schema


def test_contributions_of_a_month_ahead_add_up_to_its_log_odds(histories: Histories, model: Hazard) -> None:
    features = snapshot(histories, LAST - 160 * DAY).head(50)
    cause = next(iter(model.learners))
    learner, columns = model.learners[cause], [column.name for column in model.columns.columns]
    for month in (1, 2, 3):
        matrix = model.columns.matrix(features.with_columns(months_ahead=float(month)))
        every = learner.contributions(matrix)
        assert every.sum(axis=1) == pytest.approx(learner.logit(matrix))
        its_own = [at for at, owner in enumerate(model.columns.owner) if columns[owner] == "trend_30"]
        found = contributions(model, cause, features, month=month)
        assert found[:, columns.index("trend_30")] == pytest.approx(every[:, its_own].sum(axis=1))
        assert np.abs(found[:, columns.index("trend_30")]).max() > MIN_REASON
        assert not found[:, columns.index("months_ahead")].any()
    with pytest.raises(ValueError, match="month 7 is not within 1 and 6"):
        contributions(model, cause, features, month=7)


def test_a_contribution_has_a_number_or_a_text_or_neither_in_whatever_order_they_come() -> None:
    features = pl.DataFrame({"use_30": [3.0, None, 4.0], "device_type": [None, "A", None]})
    added = np.array([[0.2, 0.01], [-0.3, 0.5], [0.04, 0.0]])

    def one(feature: str, log_odds: float, number: float | None = None, text: str | None = None) -> dict[str, object]:
        return {"feature": feature, "number": number, "text": text, "log_odds": log_odds}

    for order in ([0, 1, 2], [2, 1, 0]):
        expected = [[one("use_30", 0.2, 3.0)], [one("device_type", 0.5, text="A"), one("use_30", -0.3)], []]
        found = _largest(features[order], features.columns, added[order]).to_list()
        assert found == [expected[at] for at in order]
    assert _largest(features[[0]].select("device_type"), ["device_type"], np.array([[0.7]])).to_list() == [
        [one("device_type", 0.7)]
    ]


def test_every_feature_of_a_fleet_has_words(histories: Histories) -> None:
    quiet = replace(
        histories,
        quota=pl.DataFrame(schema=SCHEMAS["quota"]),
        connection=pl.DataFrame(schema=SCHEMAS["connection"]),
        tickets=pl.DataFrame(schema=SCHEMAS["tickets"]),
        anomalies=pl.DataFrame(schema=SCHEMAS["anomalies"]),
    )
    assert set(snapshot(quiet, LAST).columns) - {"sim_key"} == CHURN_FACTS.keys()


def test_reasons_name_what_fades(histories: Histories, model: Hazard) -> None:
    day = date(2025, 3, 31)
    features = snapshot(histories, day)
    risks = predict_hazard(model, histories, as_of=day)
    reasons = reasons_of(model, features, risks)
    worst = risks.filter(horizon_days=90).sort("risk", descending=True).head(10)
    texts = reasons.join(worst.select("sim_key"), on="sim_key", how="semi")["reasons"].to_list()
    assert any("its use of the last" in text or "it was active on" in text for text in texts), texts
    weights = importance(model, features)
    assert weights["weight"].min() >= 0  # type: ignore[operator]
    assert plot_churn_reasons(weights).axes


def test_actions_are_ranked_by_worth_and_some_may_be_held_out() -> None:
    columns = {"sim_key": [1, 2, 3], "p_dead_device": [0.1, 0.5, 0.0], "p_switched_off": [0.65, 0.0, 0.1]}
    whole = pl.col("p_dead_device") + pl.col("p_switched_off")
    none = {name: pl.lit(0.0) for name in ("p_swapped", "p_exhausted", "p_expired")}
    risks = pl.DataFrame(columns).with_columns(horizon_days=pl.lit(90), risk=whole, any_end=whole, **none)
    risks = risks.select(pl.col(name).cast(kind) for name, kind in RISK_SCHEMA.items())
    values = pl.DataFrame({"sim_key": [1, 2], "value_at_stake": [100, 1000]}, schema=VALUE_SCHEMA)
    found = retention_actions(risks, values)
    assert found.select("sim_key", "level", "cause").rows() == [
        (2, "medium", "dead_device"), (1, "high", "switched_off"), (3, "low", "switched_off"),
    ]  # fmt: skip
    assert found["worth"].to_list() == pytest.approx([250, 44, 0])
    assert not found["held_out"].any()
    many = pl.concat([risks.with_columns(sim_key=pl.lit(n, pl.Int32)).head(1) for n in range(2000)])
    held = retention_actions(many, values, rules=RiskRules(hold_out=0.05))["held_out"]
    assert 60 < held.sum() < 140
    with pytest.raises(ValueError, match="0 <= medium <= high <= 1"):
        RiskRules(high=0.3)


def test_pictures_are_drawn_and_say_when_there_is_nothing(evaluation: Evaluation) -> None:
    for plot, frame in ((plot_churn_calibration, evaluation.calibration), (plot_churn_lift, evaluation.lift)):
        assert plot(frame, horizon_days=30, note="synthetic").axes[0].get_legend_handles_labels()[1][-1]
        assert plot(frame.clear()).axes[0].texts[0].get_text() == "not enough ends to test"


def test_the_starter_model_scores_any_fleet_by_today_s_code(histories: Histories) -> None:
    starter = Hazard.from_dict(starter_hazard())
    features = snapshot(histories, LAST)
    # what is not known of every simulated fleet must not be asked for
    asked = {column.name for column in starter.columns.columns}
    assert asked <= {*features.columns, AHEAD} - {"device_type", "peer_group"}
    risks = predict_hazard(starter, histories, as_of=LAST).filter(horizon_days=90)
    assert risks.height > features.height / 2
    assert risks["p_switched_off"].max() > 10 * risks["p_switched_off"].median() > 0  # type: ignore[operator]
    tested = starter.facts[STARTER]["tested"]
    assert tested["auc"] > tested["baseline_auc"]
    assert (files("ml.churn") / FILE).stat().st_size < 800_000
