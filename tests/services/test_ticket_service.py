"""Support tickets of a simulated account: sorted, explained by what was known of their SIM, and learnt from."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from resources.runtime import Runtime
from services.models import NoChampionError
from services.tickets import SPEC, classify_texts, classify_tickets, train
from tests.fleet import AS_OF, Truth

NOON = datetime.fromisoformat("2025-09-10T12:00:00+00:00")


@pytest.fixture
def sorting(filled: tuple[Runtime, Truth]) -> tuple[Runtime, Truth]:
    """The filled fleet with a classifier."""
    train(filled[0], AS_OF)
    return filled


def add_ticket(truth: Truth, case: str, text: str, opened: datetime = NOON) -> None:
    truth.rows(
        "INSERT INTO core.tickets (organization_id, case_id, subject, body, status, created_at, communications, "
        "changed_at) VALUES (1, %s, %s, '', 'OPEN', %s, '[]', now())",
        (case, text, opened),
    )


def sorted_ticket(truth: Truth, case: str) -> dict[str, Any]:
    (row,) = truth.rows("SELECT * FROM predictions.tickets_v1 WHERE case_id = %s", (case,))
    return row


def test_every_ticket_is_sorted_once_and_again_when_it_changes(sorting: tuple[Runtime, Truth]) -> None:
    runtime, truth = sorting
    tickets = truth.one("SELECT count(*) FROM core.tickets")
    done = classify_tickets(runtime, AS_OF, run_id="first")
    assert (done["tickets new"], done["dagster/row_count"]) == (tickets, tickets)
    assert done["tickets by category"].axes
    rows = truth.rows("SELECT * FROM predictions.tickets_v1")
    assert {row["decided_by"] for row in rows} == {"model"}
    assert all(row["to_person"] == (row["confidence"] < 0.7) for row in rows)
    urgent = {row["priority"] for row in rows if row["category"] == "connectivity_issue" and not row["to_person"]}
    assert urgent <= {"high"}
    before = truth.versions(["predictions.ticket_classes"])
    again = classify_tickets(runtime, AS_OF, run_id="again")
    assert (again["tickets new"], again["tickets changed"]) == (0, 0)
    assert truth.versions(["predictions.ticket_classes"]) == before

    case = truth.one("SELECT min(case_id) FROM core.tickets")
    truth.rows(
        "UPDATE core.tickets SET subject = '', body = 'Please send the invoice of May again.', changed_at = now() "
        "WHERE case_id = %s",
        (case,),
    )
    assert classify_tickets(runtime, AS_OF, run_id="changed")["tickets new"] == 0
    assert sorted_ticket(truth, case)["category"] == "billing_question"


def test_what_was_known_of_the_sim_counts_and_what_came_later_does_not(sorting: tuple[Runtime, Truth]) -> None:
    runtime, truth = sorting
    iccid = truth.one("SELECT iccid FROM core.sims WHERE activated_at < '2025-07-01' ORDER BY sim_key LIMIT 1")
    text = f"Device with SIM {iccid[:6]} {iccid[6:12]} {iccid[12:]} stopped sending, please check."
    exhausted = (
        "INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type) SELECT 1, sim_key, %s, "
        "'Data quota status changed from ''ACTIVE'' to ''EXHAUSTED''' FROM core.sims WHERE iccid = %s"
    )
    truth.rows("DELETE FROM core.sim_events WHERE event_type ~* 'quota'")
    truth.rows(exhausted, ("2025-09-10T15:00:00Z", iccid))
    add_ticket(truth, "noon", text)
    classify_tickets(runtime, AS_OF, run_id="noon")
    noon = sorted_ticket(truth, "noon")
    assert noon["iccid"] == iccid
    assert "exhausted" not in noon["reasons"], "what happened at three was not known at noon"

    truth.rows(exhausted, ("2025-09-10T10:00:00Z", iccid))
    for case, hour in (("one", 13), ("two", 14)):
        add_ticket(truth, case, text, NOON.replace(hour=hour))
    classify_tickets(runtime, AS_OF, run_id="later")
    assert "quota exhausted 3 h before the ticket" in sorted_ticket(truth, "one")["reasons"]
    assert "quota exhausted 4 h before the ticket" in sorted_ticket(truth, "two")["reasons"]


def test_no_ticket_or_a_strange_one_stops_nothing(sorting: tuple[Runtime, Truth]) -> None:
    runtime, truth = sorting
    truth.rows("DELETE FROM core.tickets")
    assert classify_tickets(runtime, AS_OF, run_id="none")["to a person"] == "no ticket"
    add_ticket(truth, "empty", "")
    add_ticket(truth, "long", "The invoice is wrong. " * 5000)
    add_ticket(truth, "signs", "\U0001f4f6\U0001f62d")
    classify_tickets(runtime, AS_OF, run_id="strange")
    empty, signs = sorted_ticket(truth, "empty"), sorted_ticket(truth, "signs")
    assert (empty["category"], empty["to_person"], signs["category"]) == (None, True, None)
    assert sorted_ticket(truth, "long")["category"] == "billing_question"
    truth.rows("UPDATE core.tickets SET status = 'CLOSED' WHERE case_id = 'signs'")
    wanted = {"category": None, "to_person": True, "unsolved": True, "rows": 9}
    assert [row["case_id"] for row in runtime.database.rows("tickets_list", wanted)] == ["empty"]
    assert (runtime.database.row("ticket_summary") or {})["to_person"] == 1, "closed ones need no decision"


def test_without_a_classifier_it_is_said_which_asset_makes_one(filled: tuple[Runtime, Truth]) -> None:
    with pytest.raises(NoChampionError, match="ticket_classifier"):
        classify_tickets(filled[0], AS_OF, run_id="none")


def test_corrections_hold_at_once_and_are_learnt_from(
    sorting: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = sorting
    monkeypatch.setattr("pipelines.cli.common.load_settings", lambda: runtime.settings)
    said = "The flux of the blue gadget quivers."
    for number in range(6):
        add_ticket(truth, f"flux {number}", f"{said} Gadget {number} too.")
        done = CliRunner().invoke(app, ["tickets", "correct", f"flux {number}", "technical_support", "--by", "ann"])
        assert (done.exit_code, done.output) == (0, f"ticket flux {number} is about technical support\n")
    trained = train(runtime, AS_OF)
    assert (trained["model version"], trained["corrections"]) == (2, 6)
    assert trained["role"].startswith("champion")
    (found,) = classify_texts(runtime, [said]).to_dicts()
    assert found["category"] == "technical_support"
    classify_tickets(runtime, AS_OF, run_id="second")
    assert sorted_ticket(truth, "flux 1")["decided_by"] == "person"
    assert "6 corrections" in SPEC.describe({name: of for name, of in trained.items() if isinstance(of, float)})
    listed = CliRunner().invoke(app, ["tickets", "list", "--category", "technical_support", "--json"]).output
    assert '"flux 1"' in listed
    unknown = CliRunner().invoke(app, ["tickets", "correct", "nothing", "technical_support"])
    assert "there is no ticket nothing" in str(unknown.exception)
