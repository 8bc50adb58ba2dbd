"""The cause of an error, said to people without the name of its class."""

import httpx
import psycopg
import pytest

from resources.errors import SimsightError, in_words
from resources.once.errors import OnceNotFoundError, OnceSimExpiredError, problem_in_words


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("division by zero"), "division by zero"),
        (KeyError("bytes"), "'bytes' is missing where it is needed"),
        (MemoryError(), "the memory of this machine ran out"),
        (TimeoutError(), "it took longer than it may"),
        (httpx.ReadTimeout(""), "read timeout"),
        (psycopg.errors.DiskFull("no space left"), "no space left"),
        (SimsightError("wrong: run `simsight migrate`"), "wrong: run `simsight migrate`"),
        ("psycopg.errors.DiskFull: no space left\nHINT: make some\n", "no space left\nHINT: make some"),
        ("services.inputs.NoUsageError: no usage is stored", "no usage is stored"),
        ("ValueError: 3: too many", "3: too many"),
        ("httpx.ReadTimeout", "read timeout"),
        ("TimescaleDB: an answer of its own", "TimescaleDB: an answer of its own"),
        ("usage.csv: no such column", "usage.csv: no such column"),
    ],
)
def test_an_error_is_said_in_words(error: BaseException | str, said: str) -> None:
    assert in_words(error) == said


def test_why_a_sim_has_no_answer_is_said_in_words() -> None:
    assert problem_in_words(OnceNotFoundError.__name__) == "unknown to 1NCE"
    assert problem_in_words(OnceSimExpiredError.__name__).startswith("expired")
    assert problem_in_words("OnceSomethingNewError") == "once something new error"
