"""Exports over HTTP: files of the key's own organization, refused as problems when they cannot be made."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fastexcel
import httpx
import polars as pl
import pytest

from api import database as store


def parquet(client: httpx.Client, view: str, **parameters: Any) -> pl.DataFrame:
    answer = client.get(f"/v1/export/{view}", params={"format": "parquet", **parameters})
    assert answer.status_code == 200, answer.text
    return pl.read_parquet(answer.content)


def test_every_format_is_an_attachment_of_its_type_with_the_same_rows(client: httpx.Client, seeded: Any) -> None:
    where = ["as_of=2026-01-10", "p_14>=0.25"]
    answers = {
        format: client.get("/v1/export/exhaustions", params={"format": format, "where": where})
        for format in ("csv", "xlsx", "parquet")
    }

    frames = {
        "csv": pl.read_csv(answers["csv"].content, infer_schema=False),
        "xlsx": fastexcel.read_excel(answers["xlsx"].content).load_sheet(0).to_polars(),
        "parquet": pl.read_parquet(answers["parquet"].content),
    }
    for format, frame in frames.items():
        assert answers[format].headers["content-disposition"] == f'attachment; filename="exhaustions.{format}"'
        assert sorted(frame["iccid"]) == [seeded.iccid(n) for n in range(1, 7)]
    assert answers["csv"].headers["content-type"] == "text/csv; charset=utf-8"
    assert answers["xlsx"].headers["content-type"].endswith("spreadsheetml.sheet")
    assert answers["csv"].headers["cache-control"] == "no-store"


def test_columns_days_labels_and_lists_of_sims_choose(client: httpx.Client, seeded: Any) -> None:
    found = parquet(
        client,
        "sim_usage",
        columns="iccid, day, bytes",
        where=[f"iccid={seeded.iccid(1)}", f"iccid={seeded.iccid(2)}", "day>=2026-01-09"],
    )
    assert found.columns == ["iccid", "day", "bytes"]
    assert found.height == 4
    assert set(parquet(client, "usage_forecasts", where="label=default-3")["iccid"]) == {seeded.iccid(3)}


def test_a_key_exports_its_own_organization_only(client: httpx.Client, seeded: Any, stranger: httpx.Client) -> None:
    for view in ("sims", "sim_usage", "usage_forecasts", "exhaustions", "alerts"):
        assert set(parquet(client, view)["iccid"].str.slice(0, 10)) == {"8988280666"}, view
    other = {"X-API-Key": seeded.keys["other"]}
    answer = stranger.get("/v1/export/sims", headers=other, params={"columns": "iccid"})
    assert {line[:10] for line in answer.text.split()[1:]} == {"9988280666"}
    assert stranger.get("/v1/export/sims").status_code == 401


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("nothing", 404, "there is no view 'nothing' to export; there are account_events, aggregate_forecasts, "),
        ("api_keys", 404, "there is no view 'api_keys'"),
        ("sims?columns=iccid,colour", 422, "sims has no column 'colour'; it has"),
        ("sims?where=colour=red", 422, "sims has no column 'colour'"),
        ("sims?where=iccid", 422, "'iccid' is no condition"),
        ("sim_usage?where=day=soon", 422, "day=soon: expected a value of the type date"),
        ("sims?format=pdf", 422, "format: Input should be 'csv', 'xlsx' or 'parquet'"),
        ("sims?where=label=a%00b", 422, "expected a value of the type text"),
        ("sims?where=1%3D1;drop+table", 422, "sims has no column '1'"),
        ("sims_v1%20WHERE%20true", 404, "there is no view"),
    ],
)
def test_what_cannot_be_exported_is_a_problem(client: httpx.Client, path: str, status: int, words: str) -> None:
    answer = client.get(f"/v1/export/{path}")

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in answer.json()["detail"]


def test_a_value_that_speaks_sql_finds_nothing(client: httpx.Client) -> None:
    for value in ("x' OR '1'='1", "%s %(iccid)s $1 {}", "'; DROP TABLE core.sims; --"):
        answer = client.get("/v1/export/sims", params={"where": f"label={value}"})
        assert answer.status_code == 200
        assert len(answer.text.splitlines()) == 1
    assert parquet(client, "sims").height == 12


# one that keeps a core busy, and one that only waits
ENDLESS = """
CREATE VIEW core.endless_v1 WITH (security_invoker = true) AS
SELECT a + b AS n FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b;
CREATE VIEW core.asleep_v1 WITH (security_invoker = true) AS
SELECT n FROM generate_series(1, 100000) AS n, LATERAL (SELECT pg_sleep(sign(n) / 20) AS slept OFFSET 0) AS s
WHERE slept IS NULL;
"""


def test_an_export_that_takes_too_long_is_stopped_and_others_go_on(
    client: httpx.Client, seeded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "EXPORT_SECONDS", 3)
    seeded.run(ENDLESS, "GRANT SELECT ON core.endless_v1, core.asleep_v1 TO simsight_api")
    with ThreadPoolExecutor(4) as pool:
        endless = [pool.submit(client.get, f"/v1/export/{path}") for path in ("endless?where=n<0", *["asleep"] * 3)]
        time.sleep(0.5)
        begun = time.monotonic()
        assert all(client.get(path).status_code == 200 for path in ("/v1/sims", "/v1/report", "/health") * 4)
        took = time.monotonic() - begun
        answers = [future.result() for future in endless]

    assert took < 2.5
    assert [answer.status_code for answer in answers] == [503] * 4
    assert "at the latest after 3 seconds" in answers[0].json()["detail"]
    assert client.get("/v1/export/sims").status_code == 200


def test_a_longer_time_for_an_export_does_not_outlive_it(client: httpx.Client, seeded: Any) -> None:
    seeded.run(
        "CREATE VIEW core.limits_v1 WITH (security_invoker = true) AS"
        " SELECT current_setting('statement_timeout') AS most",
        "GRANT SELECT ON core.limits_v1 TO simsight_api",
    )
    assert client.get("/v1/export/limits").text == "most\n2min\n"

    opened = store.Store(seeded.url)
    with opened.session(seeded.keys["default"]) as session:
        session.export(store.Export("limits", "csv"), io.BytesIO())
    with opened.session(seeded.keys["default"]) as session:
        (row,) = session._connection.execute("SHOW statement_timeout").fetchall()
    opened.close()
    assert row == ("10s",)
