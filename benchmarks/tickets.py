"""How well support tickets are told apart: TF-IDF alone, embeddings alone, ours, ours with SIM facts.

    python -m benchmarks.tickets [--write]

On the starter set in cross-validation (all versions of one request on one side), from one author of the starter set to
the other, and on two sets that nothing is trained on:
- hard: 60 tickets by the first author, worded to avoid the words of the categories;
- blind: 96 tickets of benchmarks/blind_tickets.csv, half of them plain, written before their author had seen any other
  ticket or topic. The same author then wrote the second half of the starter set, so 'learnt from first author' is the
  fairer row: it says what to expect of tickets by strangers.
All tickets are synthetic, so real ones will differ. SIM facts are made up: known and fitting for half of the tickets
they can fit, unknown for the other half; the SIMs of the other categories are active with half of their quota. --write
keeps the starter models with the code. The last line is of the blind set without SIM facts.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

import ml.tickets.model as tickets_model
from ml.history import FloatArray, IntArray
from ml.tickets import AUTOMATIC, CATEGORIES, WORDS, classify, embeddings_installed, starter_tickets, train
from ml.tickets.features import BUILT_IN, embed
from ml.tickets.model import TicketModel
from ml.tickets.text import normalized, texts_series

BLIND = Path(__file__).with_name("blind_tickets.csv")
ASKED = datetime(2026, 11, 1, 12, tzinfo=UTC)
# facts of a SIM that a ticket of a category is often about
FITTING = {
    "quota_exhausted": {"quota_exhausted_at": ASKED - timedelta(hours=2), "state": "active"},
    "connectivity_issue": {"state": "silent", "data_left_bytes": 300_000_000, "data_total_bytes": 500_000_000},
    "activation_problem": {"state": "issued", "never_attached": True},
}
OTHER = {"state": "active", "data_left_bytes": 250_000_000, "data_total_bytes": 500_000_000}


def _truth(frame: pl.DataFrame) -> IntArray:
    return np.array([CATEGORIES.index(name) for name in frame["category"]], dtype=np.int64)


def _plain(first: pl.DataFrame, later: pl.DataFrame) -> FloatArray:
    words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    model = LogisticRegression(C=5, max_iter=1000).fit(words.fit_transform(_said(first)), _truth(first))
    return np.asarray(model.predict_proba(words.transform(_said(later))))


def _embedded(first: pl.DataFrame, later: pl.DataFrame) -> FloatArray:
    model = LogisticRegression(C=5, max_iter=1000).fit(embed(_said(first)), _truth(first))
    return np.asarray(model.predict_proba(embed(_said(later))))


def _said(frame: pl.DataFrame) -> list[str]:
    return normalized(texts_series(frame["text"])).to_list()


def _facts(frame: pl.DataFrame, seed: int = 0) -> tuple[list[str], pl.DataFrame]:
    """Texts that name a SIM each, and these SIMs' facts."""
    fits = np.random.default_rng(seed).random(len(frame)) < 0.5
    iccids = [f"8988228000{k:09d}" for k in range(len(frame))]
    rows = [
        {"iccid": iccid} | (OTHER if category not in FITTING else FITTING[category] if fit else {})
        for iccid, category, fit in zip(iccids, frame["category"], fits, strict=True)
    ]
    texts = [f"{text}\nICCID {iccid}" for text, iccid in zip(frame["text"], iccids, strict=True)]
    return texts, pl.DataFrame(rows, infer_schema_length=None)


def _line(
    name: str, frame: pl.DataFrame, found: list[str | None], confidence: FloatArray
) -> tuple[float, float, float]:
    truth, said = np.array(frame["category"]), np.array([name or "" for name in found])
    f1 = float(f1_score(truth, said, labels=CATEGORIES, average="macro", zero_division=0))
    languages = [
        f1_score(truth[at], said[at], labels=CATEGORIES, average="macro", zero_division=0)
        for at in ((frame["language"] == language).to_numpy() for language in ("en", "de"))
    ]
    each = f1_score(truth, said, labels=CATEGORIES, average=None, zero_division=0)
    automatic = confidence >= AUTOMATIC
    right = float((truth == said)[automatic].mean()) if automatic.any() else 1.0
    cells = " ".join(f"{value:5.2f}" for value in (f1, *languages, *each, automatic.mean(), right))
    print(f"{name:32} {cells}")
    return f1, float(automatic.mean()), right


def _ours(name: str, frame: pl.DataFrame, model: TicketModel) -> tuple[float, float, float]:
    found = classify(frame["text"], model=model)
    return _line(name, frame, found["category"].to_list(), found["confidence"].to_numpy())


def _by_author(starter: pl.DataFrame, author: str, encoder: str) -> TicketModel:
    own = starter.filter(pl.col("author") == author)
    return train(own["text"].to_list(), own["category"].to_list(), groups=own["topic"].to_list(), encoder=encoder)


def _names(p: FloatArray) -> list[str | None]:
    return [CATEGORIES[k] for k in p.argmax(axis=1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the starter models with the code")
    encoders = (BUILT_IN, WORDS) if embeddings_installed() else (WORDS,)
    models = {encoder: train(encoder=encoder) for encoder in encoders}
    if parser.parse_args().write:
        for encoder, model in models.items():
            name = "starter_model.json" if encoder == BUILT_IN else "starter_words.json"
            path = Path(tickets_model.__file__).with_name(name)
            path.write_text(json.dumps(model.to_dict(), separators=(",", ":")) + "\n", "utf-8")
    tickets = starter_tickets()
    starter, hard = (tickets.filter(pl.col("part") == part) for part in ("starter", "hard"))
    print(f"{'macro F1 of':32}   all    en    de  " + " ".join(name[:5] for name in CATEGORIES) + "  auto right")
    for encoder, model in models.items():
        values = " ".join(f"{model.metrics[f'f1_{name}']:5.2f}" for name in CATEGORIES)
        metrics = model.metrics
        print(
            f"{'CV: ' + encoder[:27]:32} {metrics['macro_f1']:5.2f}             {values} "
            f"{metrics['auto_share']:5.2f} {metrics['auto_right']:5.2f}"
        )
    blind = pl.read_csv(BLIND)
    for encoder in encoders:
        first, second = (_by_author(starter, author, encoder) for author in ("first", "second"))
        print(encoder)
        _ours("learnt from first, on second", starter.filter(pl.col("author") == "second"), first)
        _ours("learnt from second, on first", starter.filter(pl.col("author") == "first"), second)
        _ours("blind: learnt from first author", blind, first)
    for name, tested in (("hard", hard), ("blind", blind)):
        p = _plain(starter, tested)
        _line(f"{name}: TF-IDF alone", tested, _names(p), p.max(axis=1))
        if embeddings_installed():
            p = _embedded(starter, tested)
            _line(f"{name}: embeddings alone", tested, _names(p), p.max(axis=1))
        texts, facts = _facts(tested)
        for encoder, model in models.items():
            began = time.perf_counter()
            classify(tested["text"], model=model)
            took = (time.perf_counter() - began) / len(tested) * 1000
            figures = _ours(f"{name}: ours, {encoder[:20]}", tested, model)
            with_facts = classify(texts, facts, model, asked_at=[ASKED] * len(texts))
            confidence = with_facts["confidence"].to_numpy()
            _line(f"{name}:   with SIM facts", tested, with_facts["category"].to_list(), confidence)
            if encoder == encoders[0]:
                f1, share, right, ms = *figures, took
    best = models[encoders[0]]
    for wording in ("plain", "hard"):
        _ours(f"blind, {wording} half: ours", blind.filter(pl.col("wording") == wording), best)
    print(f"tickets macro_f1={f1:.3f} auto_share={share:.3f} auto_right={right:.3f} ms={ms:.1f}")


if __name__ == "__main__":
    main()
