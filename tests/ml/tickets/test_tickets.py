"""Support tickets: categories, SIMs, evidence, corrections, and what is no ticket."""

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_info

from ml.tickets import (
    AUTOMATIC,
    CATEGORIES,
    TICKET_SCHEMA,
    WORDS,
    TicketModel,
    TicketTrainingError,
    classify,
    find_sims,
    starter_model,
    starter_tickets,
    train,
    transformers_embedding,
)
from ml.tickets import features as features_module
from ml.tickets.features import BUILT_IN
from ml.tickets.text import normalized
from simulator import orders_tickets

ICCID = "89882280666000123457"
ASKED = datetime(2026, 11, 1, 12, tzinfo=UTC)
FLEET = pl.DataFrame(
    {
        "iccid": [ICCID, "8988228066600099999"],
        "msisdn": ["882285000000042", "882285000000043"],
        "imei": ["0351234567890123", "0351234567890999"],
        "ip_address": ["100.64.3.17", "100.64.3.18"],
        "label": ["HAM03-MTR-0042", "Pump house north"],
    }
)


def vowels(texts: object) -> np.ndarray:
    """A tiny embedding: how often some letters stand in a text."""
    return np.array([[text.lower().count(letter) + 0.1 for letter in "aeioubcdlmnqrt"] for text in texts])  # type: ignore[attr-defined]


def test_plain_tickets_of_each_category_are_told_apart_in_both_languages() -> None:
    texts = [
        "The device is offline and cannot connect to any network.",
        "Das Gerät ist offline und findet kein Netz.",
        "Why is this fee on my invoice? Please refund the amount.",
        "Warum steht diese Gebühr auf der Rechnung?",
        "The data volume is used up, please top up the card.",
        "Das Datenvolumen ist aufgebraucht, bitte aufladen.",
        "The new SIM cannot be activated.",
        "Die neue SIM lässt sich nicht aktivieren.",
        "Which APN do I configure, and which AT commands are needed?",
        "Welche APN muss ich einstellen, und welche AT-Befehle?",
        "Please add a user to our account and change our address.",
        "Bitte neuen Benutzer anlegen und unsere Adresse ändern.",
    ]
    expected = [
        name
        for name in (
            "connectivity_issue",
            "billing_question",
            "quota_exhausted",
            "activation_problem",
            "technical_support",
            "account_management",
        )
        for _ in range(2)
    ]
    for encoder in (BUILT_IN, WORDS):
        found = classify(texts, model=starter_model(encoder))
        assert found["category"].to_list() == expected
        assert dict(found.schema) == TICKET_SCHEMA


def test_priority_and_the_person_follow_category_and_confidence() -> None:
    found = classify(starter_tickets()["text"])
    sure = found["confidence"] >= AUTOMATIC
    assert found["to_person"].to_list() == (~sure).to_list()
    assert set(found.filter(~sure)["priority"]) == {"medium"}
    high = found.filter(sure & found["category"].is_in(["connectivity_issue", "quota_exhausted"]))
    low = found.filter(sure & ~found["category"].is_in(["connectivity_issue", "quota_exhausted"]))
    assert set(high["priority"]) == {"high"}
    assert set(low["priority"]) == {"low"}


def test_what_cannot_be_read_has_a_state_and_goes_to_a_person() -> None:
    found = classify(["", "  \n ", None, 5, b"bytes", "no signal " * 10_000, "1234 !!", "\ud800", "\x00\x01"])
    assert found["state"].to_list() == [
        "empty",
        "empty",
        "not_text",
        "not_text",
        "not_text",
        "cut",
        "empty",
        "empty",
        "empty",
    ]
    unread = found.filter(pl.col("state") != "cut")
    assert unread["category"].null_count() == len(unread)
    assert unread["to_person"].all()
    assert set(unread["priority"]) == {"medium"}
    assert classify([]).is_empty()
    with pytest.raises(TypeError, match="list of tickets"):
        classify("one string")


def test_what_follows_the_first_4000_characters_changes_nothing() -> None:
    start = "The tracker has no network. " * 150
    first, second = classify([start + "a" * 100_000, start + " please refund the invoice" * 4_000]).to_dicts()
    assert first == second
    assert first["state"] == "cut"


@pytest.mark.parametrize(
    "text",
    [
        f"ICCID:{ICCID}",
        f"iccid {ICCID[:4]} {ICCID[4:8]} {ICCID[8:12]} {ICCID[12:16]} {ICCID[16:]}!",
        f"{ICCID[:4]}-{ICCID[4:8]}-{ICCID[8:12]}-{ICCID[12:]}",
        f"sim {ICCID[:19]}F is dead",
        f"sim {ICCID[:19]}",
        "call +882285000000042",
        "call 00882285000000042",
        "+882 285 000 000 042",
        "IMEI 351234567890123",
        "address 100.64.3.17.",
        "our ham03-mtr-0042, again",
    ],
)
def test_a_sim_is_found_however_it_is_written(text: str) -> None:
    assert find_sims(pl.Series([text]), FLEET)["iccid"].to_list() == [ICCID]


def test_a_label_of_several_words_and_two_sims_in_one_ticket_are_found() -> None:
    found = classify([f"Pump house  north is down, and {ICCID} too", "nothing here"], FLEET)
    assert found["iccids"].to_list() == [[ICCID, "8988228066600099999"], []]
    assert found["iccid"].to_list() == [ICCID, None]


def test_an_identifier_that_two_sims_share_names_neither() -> None:
    shared = FLEET.with_columns(label=pl.lit("meter-1"))
    assert find_sims(pl.Series(["meter-1 is down"]), shared).is_empty()


def test_without_a_fleet_an_iccid_is_taken_as_written() -> None:
    found = find_sims(pl.Series(["ICCID 8988 2280 6660 0012 345, thanks", None, "8912"]))
    assert found["iccid"].to_list() == ["8988228066600012345"]


def test_an_exhausted_quota_explains_a_device_that_does_not_send() -> None:
    text = f"Our device {ICCID} sends nothing any more"
    facts = pl.DataFrame({"iccid": [ICCID], "quota_exhausted_at": [ASKED - timedelta(hours=2)], "unknown": [1]})
    alone, known = classify([text]), classify([text], facts, asked_at=[ASKED])
    assert alone["category"].to_list() == ["connectivity_issue"]
    assert known["category"].to_list() == ["quota_exhausted"]
    assert known["evidence"].to_list() == ["quota exhausted 2 h before the ticket"]
    assert "quota exhausted 2 h before the ticket" in known["reasons"][0]


def test_what_happened_after_the_ticket_is_no_evidence() -> None:
    facts = pl.DataFrame({"iccid": [ICCID], "quota_exhausted_at": [ASKED + timedelta(hours=2)]})
    assert classify([f"{ICCID} sends nothing"], facts, asked_at=[ASKED])["evidence"].to_list() == [None]


def test_a_sim_that_never_attached_speaks_for_an_activation_problem() -> None:
    text = f"The device with {ICCID} does not get into the network"
    facts = pl.DataFrame({"iccid": [ICCID], "state": ["issued"]})
    p = classify([text], facts)
    assert p["evidence"].to_list() == ["never attached to a network"]
    assert p["category"].to_list() == ["activation_problem"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"state": "suspended"}, True),
        ({"state": "suspended", "data_left_bytes": 400, "data_total_bytes": 1000}, True),
        ({"state": "suspended", "data_left_bytes": 0}, False),
        ({"state": "suspended", "quota_exhausted_at": ASKED - timedelta(hours=2)}, False),
        ({"state": "suspended", "expires_at": ASKED - timedelta(days=3)}, False),
        ({"state": "suspended", "blocked": False}, False),
        ({"state": "suspended", "data_left_bytes": 0, "blocked": True}, True),
        ({"state": "deactivated", "data_left_bytes": 0}, True),
        ({"state": "active", "blocked": True}, True),
    ],
)
def test_only_a_sim_that_is_off_is_said_to_be_switched_off(facts: dict[str, object], said: bool) -> None:
    known = pl.DataFrame([{"iccid": ICCID} | facts])
    evidence = classify([f"{ICCID} sends nothing"], known, asked_at=[ASKED])["evidence"][0] or ""
    assert ("switched off at 1NCE" in evidence) == said


def test_an_ip_address_is_no_address_of_a_customer() -> None:
    read = normalized(pl.Series(["No ping from 100.64.3.17 since noon"]))
    assert read.to_list() == ["No ping from ip since noon"]
    topics = list(features_module.topics())
    counts = features_module.topic_counts(pl.Series(["the private address of a device", "our new address", "address"]))
    assert counts[:, topics.index("master data")].tolist() == [0, 1, 0]


def test_facts_of_wrong_types_count_as_missing() -> None:
    facts = pl.DataFrame(
        {"iccid": [ICCID], "quota_exhausted_at": ["soon"], "data_left_bytes": ["none"], "state": [None]}
    )
    assert classify([f"{ICCID} is offline"], facts)["evidence"].to_list() == [None]


def test_a_saved_model_reads_back_the_same_and_another_format_is_refused() -> None:
    model = starter_model(WORDS)
    again = TicketModel.from_dict(json.loads(json.dumps(model.to_dict())))
    texts = starter_tickets()["text"][:20]
    assert classify(texts, model=again).equals(classify(texts, model=model))
    with pytest.raises(ValueError, match="format 0; this code reads"):
        TicketModel.from_dict(model.to_dict() | {"format": 0})


def test_corrections_teach_and_weigh_more_than_starter_tickets() -> None:
    starter = starter_tickets().filter(pl.col("part") == "starter")[::3]
    texts, names = starter["text"].to_list(), starter["category"].to_list()
    said = "The widget frobnicates"
    corrections = pl.DataFrame({"text": [said] * 3, "category": ["billing_question"] * 3})
    before = train(texts, names, embedding=vowels)
    after = train(texts, names, corrections=corrections, embedding=vowels)
    column = CATEGORIES.index("billing_question")
    row = pl.Series([said])
    gained = after.logits(row, vowels)[0, column] - before.logits(row, vowels)[0, column]
    assert gained > 0
    assert after.metrics["corrections"] == 3
    assert classify([said], model=after, embedding=vowels)["category"].to_list() == ["billing_question"]


def test_training_is_the_same_for_the_same_seed_and_reports_its_figures() -> None:
    starter = starter_tickets()[::4]
    texts, names = starter["text"].to_list(), starter["category"].to_list()
    first, second = (train(texts, names, embedding=vowels, seed=3) for _ in range(2))
    assert first.to_dict() == second.to_dict()
    assert {"macro_f1", "auto_share", "auto_right"} <= first.metrics.keys()


def test_too_little_to_train_is_said_in_numbers() -> None:
    with pytest.raises(TicketTrainingError, match="not enough tickets to train: 2 tickets, 30 needed"):
        train(["a b", "c d"], ["billing_question"] * 2, embedding=vowels)
    with pytest.raises(TicketTrainingError, match="0 of account_management, 5 of each"):
        train(["some text"] * 40, ["billing_question"] * 40, embedding=vowels)
    with pytest.raises(TicketTrainingError, match="unknown category 'sales'"):
        train(["a"], ["sales"], embedding=vowels)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install simsight\[tickets\]"):
        classify(["no network"], model=TicketModel.from_dict(starter_model(BUILT_IN).to_dict()))
    with pytest.raises(ValueError, match="needs sentence-transformers"):
        transformers_embedding("some/model")


def test_without_the_extra_words_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module.importlib.util, "find_spec", lambda name: None)
    starter_model.cache_clear()
    assert starter_model().encoder == WORDS
    starter_model.cache_clear()


def test_the_starter_models_keep_their_promise_in_cross_validation() -> None:
    built_in, words = starter_model(BUILT_IN).metrics, starter_model(WORDS).metrics
    assert built_in["macro_f1"] >= 0.88
    assert built_in["auto_right"] >= 0.9
    assert words["auto_right"] >= 0.9
    assert built_in["auto_share"] >= 0.5


def test_tickets_that_were_written_before_any_other_was_seen_are_told_apart() -> None:
    blind = blind_tickets()
    found = classify(blind["text"])
    right = (found["category"] == blind["category"]).to_numpy()
    sure = ~found["to_person"].to_numpy()
    assert f1_score(blind["category"], found["category"], average="macro") >= 0.93
    assert right[sure].mean() >= 0.95
    assert sure.mean() >= 0.75


def test_what_is_learnt_from_one_author_holds_for_the_other() -> None:
    starter = starter_tickets().filter(pl.col("part") == "starter")
    first, second = (starter.filter(pl.col("author") == author) for author in ("first", "second"))
    model = train(first["text"].to_list(), first["category"].to_list(), groups=first["topic"].to_list())
    found = classify(second["text"], model=model)
    right = (found["category"] == second["category"]).to_numpy()
    sure = ~found["to_person"].to_numpy()
    assert f1_score(second["category"], found["category"], average="macro") >= 0.86
    assert right[sure].mean() >= 0.93


def test_training_keeps_to_one_thread() -> None:
    threads: set[int] = set()

    def watching(texts: object) -> np.ndarray:
        threads.update(pool["num_threads"] for pool in threadpool_info())
        return vowels(texts)

    starter = starter_tickets()[::4]
    train(starter["text"].to_list(), starter["category"].to_list(), embedding=watching)
    assert threads == {1}


def test_hard_tickets_that_are_taken_without_a_person_are_mostly_right() -> None:
    hard = starter_tickets().filter(pl.col("part") == "hard")
    found = classify(hard["text"])
    right = (found["category"] == hard["category"]).to_numpy()
    sure = ~found["to_person"].to_numpy()
    assert right.mean() >= 0.6
    assert right[sure].mean() >= 0.75  # worded to be hard: less than the 0.9 of cross-validation


def blind_tickets() -> pl.DataFrame:
    return pl.read_csv(Path(__file__).parents[3] / "benchmarks" / "blind_tickets.csv")


def test_the_starter_set_is_balanced_and_holds_nothing_of_the_simulator() -> None:
    tickets = starter_tickets()
    counts = tickets.group_by("category", "part").len()
    assert set(tickets["category"]) == set(CATEGORIES)
    assert counts.filter(pl.col("part") == "hard")["len"].to_list() == [10] * 6
    assert counts.filter(pl.col("part") == "starter")["len"].min() >= 50
    assert set(tickets["origin"]) == {"synthetic"}
    assert set(tickets["author"]) == {"first", "second"}
    assert set(tickets.filter(pl.col("part") == "hard")["author"]) == {"first"}
    assert tickets["text"].is_unique().all()

    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"[\wäöüß]+", text.lower())
        return {tuple(words[k : k + 6]) for k in range(len(words) - 5)}

    cases = [*orders_tickets._ROUTINE, *orders_tickets._CAUSED.values()]
    templates = set().union(*(runs(case[3]) for case in cases))
    assert [text for text in tickets["text"] if runs(text) & templates] == []
    tested = set().union(*(runs(text) for text in blind_tickets()["text"]))
    second = tickets.filter(pl.col("author") == "second")["text"]  # of the author of the blind tickets
    assert [text for text in second if runs(text) & tested] == []


def test_reasons_and_logs_hold_nothing_of_the_ticket(caplog: pytest.LogCaptureFixture) -> None:
    text = "Jane Doe, +882285000000042, jane@example.com: the invoice is wrong, device 100.64.3.17 is offline"
    with caplog.at_level(logging.DEBUG):
        said = json.dumps(classify([text], FLEET)["reasons"].to_list()) + caplog.text
    assert not re.search(r"Jane|882285|example|100\.64", said)
