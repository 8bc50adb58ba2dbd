"""The frames that raw responses and quarantined records are written from."""

from __future__ import annotations

import polars as pl

Schema = dict[str, "pl.DataType | type[pl.DataType]"]
UTC_TIME = pl.Datetime("us", "UTC")
RAW_RESPONSE_SCHEMA: Schema = {"source": pl.String, "request": pl.String, "body": pl.String, "received_at": UTC_TIME}
QUARANTINE_SCHEMA: Schema = {
    "source": pl.String,
    "record_key": pl.String,
    "reason": pl.String,
    "record": pl.String,
    "seen_at": UTC_TIME,
}
RESOLVED_SCHEMA: Schema = {"source": pl.String, "record_key": pl.String, "seen_at": UTC_TIME, "resolution": pl.String}
