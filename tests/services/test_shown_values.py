"""What predictions say of a SIM, as it is stored: no more places than are known, and one severity of a silence."""

from datetime import date, timedelta

import polars as pl

from services.anomalies.detection import _silences_as_alerts
from services.exhaustion import _rounded

AS_OF = date(2026, 6, 28)


def test_probabilities_have_four_places_and_only_certainty_is_one() -> None:
    given = pl.DataFrame({"p_7": [0.123456, 0.99999, 1.0, None], "sms_p_14": [1.6e-281, 0.5, 0.0, 1.0]})
    assert _rounded(given).rows() == [(0.1235, 0.0), (0.9999, 0.5), (1.0, 0.0), (None, 1.0)]


def test_a_silence_is_as_loud_as_its_alert() -> None:
    history = pl.DataFrame(
        [(sim, AS_OF - timedelta(days=back), 100) for sim, quiet in ((1, 5), (2, 9)) for back in range(quiet, 60)],
        schema={"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64},
        orient="row",
    )
    odd = pl.DataFrame(
        {"sim_key": [1, 2, 2], "day": [AS_OF] * 3, "kind": ["silence", "silence", "spike"], "severity": ["info"] * 3},
        schema_overrides={"sim_key": pl.Int32},
    )
    assert _silences_as_alerts(odd, history, AS_OF)["severity"].to_list() == ["warning", "critical", "info"]
