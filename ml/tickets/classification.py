"""Categories, priorities and SIMs of support tickets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl

from ml.history import FloatArray
from ml.tickets.evidence import sim_evidence
from ml.tickets.features import Embedding, topic_counts
from ml.tickets.identifiers import find_sims
from ml.tickets.model import AUTOMATIC, CATEGORIES, TicketModel, softmax, starter_model
from ml.tickets.text import normalized, texts_series

TICKET_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "category": pl.String,  # of CATEGORIES; null where nothing could be read
    "confidence": pl.Float64,  # calibrated probability of the category; 0 where nothing could be read
    "priority": pl.String,  # high, medium, low
    "to_person": pl.Boolean,
    "state": pl.String,  # classified, cut (only the beginning was read), empty, not_text
    "reasons": pl.List(pl.String),  # topics and facts in words, no text of the ticket
    "evidence": pl.String,  # what is known of the SIM, a sentence; null where nothing is
    "iccid": pl.String,  # the SIM that is named most surely
    "iccids": pl.List(pl.String),  # all SIMs that are named
}
HIGH = ("connectivity_issue", "quota_exhausted")
BATCH = 256
MOST_TOPICS = 3


def classify(
    texts: Sequence[object] | pl.Series,
    sim_facts: pl.DataFrame | None = None,
    model: TicketModel | None = None,
    *,
    asked_at: Sequence[datetime | None] | None = None,
    embedding: Embedding | None = None,
) -> pl.DataFrame:
    """What each ticket is about: TICKET_SCHEMA, one row a ticket in the given order. Works offline, untrained.

    texts      subject and body of each ticket; what is empty or no text gets a state, no exception; of a long one the
               first MAX_CHARACTERS are read
    sim_facts  the fleet as of the tickets' time (see ml.tickets.evidence); by it SIMs are found and categories shifted
    model      of `train`; None: the starter model
    asked_at   when each ticket was written
    embedding  the callable that `model` was trained with, where it is not the built-in one
    Raises ValueError when asked_at has another length than texts, or the model's encoder is not installed.
    """
    if asked_at is not None and len(asked_at) != len(texts):
        raise ValueError(f"{len(texts)} tickets and {len(asked_at)} times: expected one each")
    text = texts_series(texts)
    if not len(text):
        return pl.DataFrame(schema=TICKET_SCHEMA)
    model = starter_model() if model is None else model
    words = normalized(text)
    sims = find_sims(text, sim_facts)
    first = sims.unique("ticket", keep="first", maintain_order=True)
    evidence = sim_evidence(first, sim_facts, asked_at if asked_at is not None else [None] * len(text), CATEGORIES)
    batches = range(0, len(words), BATCH)
    logits = np.vstack([model.logits(words.slice(start, BATCH), embedding) for start in batches])
    counts = np.vstack([topic_counts(words.slice(start, BATCH)) for start in batches])
    p = softmax(logits + evidence.shifts)
    read = (words.str.count_matches(r"\p{L}") >= 2).to_numpy()
    frame = pl.DataFrame(
        {
            "ticket": pl.Series(range(len(text)), dtype=pl.UInt32),
            "found": [CATEGORIES[k] for k in p.argmax(axis=1)],
            "probability": p.max(axis=1),
            "read": read,
            "state": [_state(value, bool(ok)) for value, ok in zip(texts, read, strict=True)],
            "reasons": _reasons(model, counts, p, evidence.sentences, read),
            "evidence": [sentence or None for sentence in evidence.sentences],
        },
        schema_overrides={"reasons": pl.List(pl.String), "evidence": pl.String},
    )
    named = sims.group_by("ticket", maintain_order=True).agg(iccids="iccid", iccid=pl.col("iccid").first())
    frame = frame.join(named, on="ticket", how="left", maintain_order="left").with_columns(
        category=pl.when("read").then("found"),
        confidence=pl.when("read").then("probability").otherwise(0.0),
        iccids=pl.col("iccids").fill_null([]),
    )
    sure = pl.col("confidence") >= AUTOMATIC
    priority = pl.when(~sure).then(pl.lit("medium")).when(pl.col("category").is_in(HIGH)).then(pl.lit("high"))
    return (
        frame.with_columns(priority=priority.otherwise(pl.lit("low")), to_person=~sure)
        .select(TICKET_SCHEMA.keys())
        .cast(TICKET_SCHEMA)  # type: ignore[arg-type]
    )


def _state(value: object, read: bool) -> str:
    from ml.tickets.text import MAX_CHARACTERS

    if not isinstance(value, str):
        return "not_text"
    if not read:
        return "empty"
    return "cut" if len(value) > MAX_CHARACTERS else "classified"


def _reasons(
    model: TicketModel,
    counts: FloatArray,
    p: FloatArray,
    sentences: list[str],
    read: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> list[list[str]]:
    """The topics that spoke most for each category, then the SIM's facts."""
    weights = model.weights[:, -len(model.topic_names) :]
    won = p.argmax(axis=1)
    said = np.sqrt(counts) * (weights - weights.mean(axis=0))[won]
    reasons = []
    for k, row in enumerate(said):
        best = [j for j in np.argsort(-row)[:MOST_TOPICS] if row[j] > 0] if read[k] else []
        found = [f"speaks of: {', '.join(model.topic_names[j] for j in best)}"] if best else []
        if read[k] and not best:
            found = ["resembles tickets of this category"]
        found += [sentences[k]] if sentences[k] else []
        reasons.append(found or ["nothing to read"])
    return reasons
