"""Support tickets: a classifier, trained on starter tickets and corrections, sorts every ticket of the account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from ml.plots.tickets import plot_tickets
from ml.tickets import (
    AUTOMATIC,
    FACTS_SCHEMA,
    TICKET_SCHEMA,
    WORDS,
    TicketModel,
    classify,
    embeddings_installed,
    find_sims,
    starter_model,
    starter_tickets,
)
from ml.tickets import train as fit
from ml.words import percent
from resources.database.session import Merged, Transaction
from resources.registry import Signature, Version
from resources.runtime import Runtime
from services.model_specs import TICKETS, Champion, Log, Metric, ModelSpec, Trained, TrainingInputs, register
from services.models import champion_of, registry_of, train_and_register

UTC_TIME = pl.Datetime("us", "UTC")
CORRECTED_SCHEMA = {"case_id": pl.String, "text": pl.String, "category": pl.String}
WAITING_SCHEMA = {"case_id": pl.String, "text": pl.String, "opened_at": UTC_TIME, "changed_at": UTC_TIME}
NAMES_SCHEMA = dict.fromkeys(("iccid", "msisdn", "imei", "ip_address", "label"), pl.String)
KNOWN_SCHEMA = {
    "place": pl.Int64,
    "iccid": pl.String,
    **{name: UTC_TIME if kind == pl.Datetime else kind for name, kind in FACTS_SCHEMA.items()},
}
COUNTS_SCHEMA = {
    "category": pl.String,
    "priority": pl.String,
    **dict.fromkeys(("tickets", "to_person", "unsolved"), pl.Int64),
}
# a version whose tickets are sorted worse than the champion's by more than this does not take its place
MAX_LOSS = 0.02


def training_inputs(runtime: Runtime, as_of: date) -> TrainingInputs:
    """What the classifier is trained from: corrections of people, beside the starter tickets of Simsight."""
    corrected = runtime.database.frame("corrected_tickets", CORRECTED_SCHEMA, {"now": runtime.clock()})
    starter = starter_tickets().filter(pl.col("part") == "starter")
    return TrainingInputs({"corrections": corrected, "starter": starter}, {"embeddings": embeddings_installed()})


def train_classifier(
    runtime: Runtime, as_of: date, inputs: TrainingInputs, champion: Champion | None, log: Log
) -> Trained:
    """Fit the classifier, tested by cross-validation. The newest sorts, unless it does so clearly worse."""
    corrections = inputs.frames["corrections"]
    # without a correction the fit is the one that comes with Simsight
    model = fit(corrections=corrections, seed=runtime.settings.seed) if corrections.height else starter_model()
    log(f"{model.metrics['tickets']:.0f} tickets, {model.metrics['corrections']:.0f} of them corrections")
    before = champion.read() if champion else None
    score = model.metrics["macro_f1"]
    role, why = "champion", "the first" if champion is None else "the newest knows the most corrections"
    if before is not None:
        if before.encoder != WORDS and model.encoder == WORDS:
            role, why = "challenger", "it has word features only: install simsight[tickets]"
        elif score < before.metrics["macro_f1"] - MAX_LOSS:
            role, why = "challenger", f"macro F1 {score:.2f} is below the champion's {before.metrics['macro_f1']:.2f}"
    return Trained(
        model=model.to_dict(),
        metrics=model.metrics,
        role=role,
        why=why,
        parameters={"encoder": model.encoder, "temperature": round(model.temperature, 4)},
        comparison={} if before is None else {"champion_macro_f1": before.metrics["macro_f1"]},
    )


def classify_tickets(runtime: Runtime, as_of: date, *, run_id: str) -> dict[str, Any]:
    """Sort the tickets that are new, have changed, or were sorted by another version; returns metadata. Raises
    NoChampionError.
    """
    version = champion_of(runtime, TICKETS)
    which = {"model_name": TICKETS, "model_version": version.version}
    with runtime.database.transaction() as transaction:
        waiting = transaction.frame("tickets_to_classify", WAITING_SCHEMA, which)
        merged = Merged()
        if waiting.height:
            found = _classified(transaction, _model(runtime, version), waiting)
            scoring = transaction.row("new_scoring", which | {"run_id": run_id, "as_of": as_of, "now": runtime.clock()})
            assert scoring is not None
            merged = transaction.merge(
                "merge_ticket_classes",
                found.select(
                    waiting["case_id"],
                    pl.lit(scoring["scoring_id"]).alias("scoring_id"),
                    *("category", "confidence", "priority", "to_person"),
                    pl.col("reasons").list.join("; "),
                    # of several SIMs none is said to be the one
                    pl.when(pl.col("iccids").list.len() == 1).then("iccid").alias("iccid"),
                    waiting["changed_at"].alias("ticket_changed_at"),
                    pl.lit(runtime.clock()).alias("classified_at"),
                ),
            )
        counts = transaction.frame("ticket_counts", COUNTS_SCHEMA, {"as_of": as_of})
    tickets = int(counts["tickets"].sum())
    by = counts.group_by("category").agg(pl.col("tickets").sum()).sort("tickets", "category", descending=[True, False])
    return {
        "model version": version.version,
        "dagster/row_count": tickets,
        "tickets new": merged.new,
        "tickets changed": merged.changed,
        **{f"category {str(name).replace('_', ' ')}": count for name, count in by.iter_rows()},
        "to a person": percent(int(counts["to_person"].sum()) / tickets) if tickets else "no ticket",
        "unsolved, high priority": int(counts.filter(pl.col("priority") == "high")["unsolved"].sum()),
        "tickets by category": plot_tickets(counts, note=runtime.data_note),
    }


def classify_texts(runtime: Runtime, texts: Sequence[str]) -> pl.DataFrame:
    """What texts are about, by the champion and what is known of the SIMs now (ml.tickets.TICKET_SCHEMA); nothing is
    stored. Raises NoChampionError.
    """
    now = runtime.clock()
    waiting = pl.DataFrame({"text": list(texts), "opened_at": pl.Series([now] * len(texts), dtype=UTC_TIME)})
    with runtime.database.transaction() as transaction:
        return _classified(transaction, _model(runtime, champion_of(runtime, TICKETS)), waiting)


def _model(runtime: Runtime, version: Version) -> TicketModel:
    return TicketModel.from_dict(registry_of(runtime, TICKETS).load(version))


def _classified(transaction: Transaction, model: TicketModel, tickets: pl.DataFrame) -> pl.DataFrame:
    """TICKET_SCHEMA of tickets (text, opened_at), in their order, each with what was known of its SIM when it was
    opened.
    """
    names = transaction.frame("sims_by_all_names", NAMES_SCHEMA)
    named = find_sims(tickets["text"], names).unique("ticket", keep="first", maintain_order=True)
    asked = named.join(
        tickets.select("opened_at").with_row_index("ticket"), on="ticket", how="left", maintain_order="left"
    ).filter(pl.col("opened_at").is_not_null())
    pairs = {"iccids": asked["iccid"].to_list(), "moments": asked["opened_at"].to_list()}
    known = transaction.frame("facts_before_tickets", KNOWN_SCHEMA, pairs)
    facts = asked.select("ticket").with_row_index("place").cast({"place": pl.Int64}).join(known, on="place")
    # a SIM with several tickets was in another state at each: the n-th tickets of all SIMs go together
    turn = facts.select("ticket", turn=pl.int_range(pl.len()).over("iccid"))
    turns = (
        tickets.with_row_index("ticket").join(turn, on="ticket", how="left").with_columns(pl.col("turn").fill_null(0))
    )
    found = [pl.DataFrame(schema={"ticket": pl.UInt32, **TICKET_SCHEMA})]
    for (_,), group in turns.sort("ticket").group_by("turn", maintain_order=True):
        of_turn = facts.join(group, on="ticket", how="semi").drop("ticket", "place")
        fleet = names.join(of_turn, on="iccid", how="left")
        times: list[datetime | None] = group["opened_at"].to_list()
        found.append(
            pl.concat([group.select("ticket"), classify(group["text"], fleet, model, asked_at=times)], how="horizontal")
        )
    return pl.concat(found).sort("ticket").drop("ticket")


def describe_classifier(metrics: dict[str, float]) -> str:
    """How good a version is, in a sentence or two.

    metrics  those of ml.tickets.TicketModel
    """
    return (
        f"Macro F1 {metrics['macro_f1']:.2f} over {metrics['tickets']:.0f} tickets (synthetic starter tickets and "
        f"{metrics['corrections']:.0f} corrections), by cross-validation. Of {percent(metrics['auto_share'])} it was "
        f"sure (confidence of {AUTOMATIC:g} or more), and {percent(metrics['auto_right'])} of these were right. "
        "The baseline: one category for all has macro F1 0.05."
    )


def predict_categories(model: TicketModel, texts: pl.DataFrame, options: dict[str, Any]) -> pl.DataFrame:
    """What texts are about, for MLflow's users: without facts of SIMs."""
    found = classify(texts["text"], model=model)
    return found.select("category", "confidence", "priority", "to_person", pl.col("reasons").list.join("; "), "iccid")


SPEC = register(
    ModelSpec(
        name=TICKETS,
        asset="ticket_classifier",
        read=TicketModel.from_dict,
        inputs=training_inputs,
        train=train_classifier,
        metrics=(
            Metric("macro F1", "macro_f1", ".2f", "of six categories, by cross-validation"),
            Metric("sure of", "auto_share", "%", f"tickets with a confidence of {AUTOMATIC:g} or more"),
            Metric("right", "auto_right", "%", "of the tickets it is sure of"),
        ),
        card="Says what a support ticket is about, in English and German, by its words and what is known of its SIM.",
        limits="Most of what it learnt from are synthetic tickets written for this project. Tickets in other languages "
        "go to a person. How much facts of SIMs move a category is judged, not fitted.",
        describe=describe_classifier,
        predict=predict_categories,
        signature=Signature(
            takes={"text": "string"},
            gives={
                **{"category": "string?", "confidence": "double", "priority": "string", "to_person": "boolean"},
                **dict.fromkeys(("reasons", "iccid"), "string?"),
            },
            options={},
        ),
    )
)


def train(runtime: Runtime, as_of: date, *, log: Log = lambda text: None) -> dict[str, Any]:
    """Train a version of the classifier, and register it; see `train_and_register`."""
    return train_and_register(runtime, SPEC, as_of, log=log)
