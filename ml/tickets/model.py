"""The classifier of tickets: logistic regression over embeddings (or hashed words) and topics, calibrated.

Topics are a word list, so they say much of plainly worded tickets and nothing of others. Each ticket is therefore
learnt twice, once with its topics hidden; else the regression would rely on topics and be lost where there are none.

Confidence is softmax(logits / temperature). The temperature has the least cross-validated log loss, or is higher until
AIMED_RIGHT of the tickets at or above AUTOMATIC are right. Both are counted over tickets with and without their topics:
the word list was written beside the first author's tickets and knows their words better than those of tickets to come.
Tickets of one topic (versions of one request) are never on both sides of a fold. benchmarks/tickets.py also learns from
one author and tests on the other.

Sources: Guo et al., "On calibration of modern neural networks" (2017) for temperature scaling.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from ml.history import FloatArray, IntArray
from ml.tickets.features import BUILT_IN, Embedding, embed, embeddings_installed, topic_counts, topics, word_features
from ml.tickets.starter import starter_tickets
from ml.tickets.text import normalized, texts_series

VERSION = 1
CATEGORIES = (
    "account_management",
    "activation_problem",
    "billing_question",
    "connectivity_issue",
    "quota_exhausted",
    "technical_support",
)
AUTOMATIC = 0.7  # from this confidence on, a category is taken without a person
AIMED_RIGHT = 0.96  # of those in cross-validation, so that 90 % hold on tickets worded in another way
CORRECTION_WEIGHT = 3.0  # of a person's correction, beside 1 of a starter ticket
MIN_TICKETS, MIN_A_CATEGORY, FOLDS = 30, 5, 5
STRENGTH = 3.0  # inverse of the regularization
TOPIC_WEIGHT = 0.5
WORDS = "words"
TEMPERATURES = np.geomspace(0.4, 3.0, 40)


class TicketTrainingError(ValueError):
    """The tickets given cannot train a model; the message says what is missing."""


@dataclass(frozen=True)
class TicketModel:
    """A fitted classifier. `to_dict` and `from_dict` keep it as JSON.

    encoder      what makes the first features: BUILT_IN, WORDS, or the name given for another embedding
    weights      (categories of CATEGORIES, features);  intercepts (categories,)
    topic_names  the topics the last features count
    temperature  by which logits are divided
    metrics      tickets, corrections, macro_f1, auto_share, auto_right, f1_<category>: by grouped cross-validation
    """

    encoder: str
    weights: FloatArray
    intercepts: FloatArray
    topic_names: tuple[str, ...]
    temperature: float
    metrics: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": VERSION,
            "encoder": self.encoder,
            "categories": list(CATEGORIES),
            "weights": np.round(self.weights, 4).tolist(),
            "intercepts": np.round(self.intercepts, 4).tolist(),
            "topics": list(self.topic_names),
            "temperature": self.temperature,
            "metrics": self.metrics,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TicketModel:
        """Raises ValueError for a model saved by another version of the code, or over other topics."""
        if values.get("format") != VERSION or values.get("topics") != list(topics()):
            raise ValueError(
                f"the ticket model has format {values.get('format')}; this code reads {VERSION} with its own topics: "
                "train it again"
            )
        return cls(
            values["encoder"],
            np.array(values["weights"], dtype=np.float64),
            np.array(values["intercepts"], dtype=np.float64),
            tuple(values["topics"]),
            float(values["temperature"]),
            dict(values["metrics"]),
        )

    def logits(self, texts: pl.Series, embedding: Embedding | None = None) -> FloatArray:
        """Log-odds by category of normalized tickets, already divided by the temperature: (tickets, categories).

        Raises ValueError when the encoder it was trained with is missing.
        """
        if self.encoder not in (BUILT_IN, WORDS) and embedding is None:
            raise ValueError(
                f"the ticket model was trained with the embedding {self.encoder!r}: pass it as `embedding`"
            )
        values = _features(texts, self.encoder, embedding)
        if values.shape[1] != self.weights.shape[1]:
            raise ValueError(f"the embedding gives {values.shape[1]} features; the model has {self.weights.shape[1]}")
        return np.asarray((values @ self.weights.T + self.intercepts) / self.temperature)


def train(
    texts: Sequence[object] | None = None,
    categories: Sequence[str] | None = None,
    *,
    corrections: pl.DataFrame | None = None,
    groups: Sequence[object] | None = None,
    embedding: Embedding | None = None,
    encoder: str | None = None,
    seed: int = 0,
) -> TicketModel:
    """Fit a model; without texts on the starter set.

    texts        tickets with their `categories` (words of CATEGORIES); None: the starter set without its hard part
    corrections  what people said: text, category (of CATEGORIES); each weighs CORRECTION_WEIGHT tickets. Rows without
                 text count as not given
    groups       tickets of one group are never on both sides of a fold; None: each its own (the starter set: topics)
    embedding    any callable from texts to (tickets, size); `encoder` then names it. None: the built-in one where it is
                 installed, else words; encoder=WORDS asks for words
    Raises TicketTrainingError for unknown categories, too few tickets, or fewer than MIN_A_CATEGORY of one category.
    """
    if texts is None:
        starter = starter_tickets().filter(pl.col("part") == "starter")
        texts, categories, groups = starter["text"].to_list(), starter["category"].to_list(), starter["topic"].to_list()
    names = list(categories or [])
    if len(names) != len(texts):
        raise TicketTrainingError(f"{len(texts)} tickets and {len(names)} categories: expected one each")
    grouped = [f"given {group}" for group in (groups if groups is not None else range(len(texts)))]
    given = list(texts)
    weights = [1.0] * len(given)
    if corrections is not None and len(corrections):
        given += corrections["text"].to_list()
        names += corrections["category"].to_list()
        weights += [CORRECTION_WEIGHT] * len(corrections)
        grouped += [f"correction {k}" for k in range(len(corrections))]
    unknown = sorted({str(name) for name in names} - set(CATEGORIES))
    if unknown:
        raise TicketTrainingError(f"unknown category {unknown[0]!r}: expected one of {', '.join(CATEGORIES)}")
    words = normalized(texts_series(given))
    kept = np.flatnonzero((words != "").to_numpy())
    truth = np.array([CATEGORIES.index(names[k]) for k in kept], dtype=np.int64)
    _check(truth)
    if encoder is None:
        encoder = "custom" if embedding is not None else BUILT_IN if embeddings_installed() else WORDS
    weight = np.array(weights)[kept]
    _, group = np.unique([grouped[k] for k in kept], return_inverse=True)
    with threadpool_limits(1):  # these fits are small: more threads only wait for each other
        values = _features(words.gather(kept.tolist()), encoder, embedding)
        held_out, hidden = _cross_validated(values, truth, weight, np.asarray(group, dtype=np.int64), seed)
        fitted = _fit(values, truth, weight)
    temperature = _temperature(np.vstack([held_out, hidden]), np.tile(truth, 2))
    metrics = figures(softmax(held_out / temperature), truth) | {
        "tickets": float(len(kept)),
        "corrections": float((weight > 1).sum()),
    }
    return TicketModel(encoder, *fitted, tuple(topics()), temperature, metrics)


@cache
def starter_model(encoder: str | None = None) -> TicketModel:
    """The model that is there on day one: `train()` on the starter set, kept with the code (benchmarks/tickets.py
    --write makes it anew). encoder: BUILT_IN or WORDS; None: BUILT_IN where it is installed."""
    encoder = encoder or (BUILT_IN if embeddings_installed() else WORDS)
    name = {BUILT_IN: "starter_model.json", WORDS: "starter_words.json"}[encoder]
    return TicketModel.from_dict(json.loads((files("ml.tickets") / name).read_text("utf-8")))


def softmax(logits: FloatArray) -> FloatArray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def figures(p: FloatArray, truth: IntArray) -> dict[str, float]:
    """macro_f1, f1_<category>, auto_share (share with confidence from AUTOMATIC on), auto_right (share right of
    those; 1 where there are none). p (tickets, categories), truth (tickets,) positions in CATEGORIES."""
    found = p.argmax(axis=1)
    automatic = p.max(axis=1) >= AUTOMATIC
    by_category = {}
    for k, name in enumerate(CATEGORIES):
        both = ((found == k) & (truth == k)).sum()
        by_category[f"f1_{name}"] = float(2 * both / max((found == k).sum() + (truth == k).sum(), 1))
    return {
        "macro_f1": float(np.mean(list(by_category.values()))),
        "auto_share": float(automatic.mean()),
        "auto_right": float((found == truth)[automatic].mean()) if automatic.any() else 1.0,
        **by_category,
    }


def _check(truth: IntArray) -> None:
    if len(truth) < MIN_TICKETS:
        raise TicketTrainingError(f"not enough tickets to train: {len(truth)} tickets, {MIN_TICKETS} needed")
    counts = np.bincount(truth, minlength=len(CATEGORIES))
    few = int(counts.argmin())
    if counts[few] < MIN_A_CATEGORY:
        raise TicketTrainingError(
            f"not enough tickets to train: {counts[few]} of {CATEGORIES[few]}, {MIN_A_CATEGORY} of each category needed"
        )


def _features(texts: pl.Series, encoder: str, embedding: Embedding | None) -> FloatArray:
    first = word_features(texts) if encoder == WORDS else embed(texts.to_list(), embedding)
    return np.hstack([first, TOPIC_WEIGHT * np.sqrt(topic_counts(texts))])


def _fit(values: FloatArray, truth: IntArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weights and intercepts; a category that is not among `truth` gets an intercept that never wins."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    rows = np.vstack([values, _without_topics(values)])
    mostly_zeros = np.count_nonzero(rows) < rows.size / 4  # hashed words are
    model = LogisticRegression(C=STRENGTH, max_iter=500, tol=1e-3)
    model.fit(csr_matrix(rows) if mostly_zeros else rows, np.tile(truth, 2), sample_weight=np.tile(weight, 2))
    weights, intercepts = np.zeros((len(CATEGORIES), values.shape[1])), np.full(len(CATEGORIES), -20.0)
    weights[model.classes_], intercepts[model.classes_] = model.coef_, model.intercept_
    return weights, intercepts


def _without_topics(values: FloatArray) -> FloatArray:
    hidden = values.copy()
    hidden[:, -len(topics()) :] = 0
    return hidden


def _cross_validated(
    values: FloatArray, truth: IntArray, weight: FloatArray, group: IntArray, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Logits of each ticket by a model that saw none of its group; the same with the ticket's topics hidden."""
    fold = np.random.default_rng(seed).permutation(group.max() + 1)[group] % FOLDS
    logits, hidden = np.zeros((2, len(truth), len(CATEGORIES)))
    for k in range(FOLDS):
        out = fold == k
        if out.any() and len(np.unique(truth[~out])) > 2:
            weights, intercepts = _fit(values[~out], truth[~out], weight[~out])
            logits[out] = values[out] @ weights.T + intercepts
            hidden[out] = _without_topics(values[out]) @ weights.T + intercepts
    return logits, hidden


def _temperature(logits: FloatArray, truth: IntArray) -> float:
    rows = np.arange(len(truth))
    losses = [-np.log(softmax(logits / t)[rows, truth] + 1e-12).mean() for t in TEMPERATURES]
    for t in TEMPERATURES[int(np.argmin(losses)) :]:
        if figures(softmax(logits / t), truth)["auto_right"] >= AIMED_RIGHT:
            return float(t)
    return float(TEMPERATURES[-1])
