"""What all assets share: partitions, owners, the runtime they work with, pictures as metadata."""

from __future__ import annotations

import base64
import io
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.runtime import Runtime
from resources.settings import load_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# the present day is a partition too: its usage grows until it ends
DAYS = dg.DailyPartitionsDefinition(start_date=load_settings().first_day.isoformat(), timezone="UTC", end_offset=1)
OWNERS = ["team:data"]
RuntimeParam = dg.ResourceParam[Runtime]


def as_of_days(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> list[date]:
    """The as-of days (partitions) that a run is to compute, oldest first."""
    return sorted(date.fromisoformat(key) for key in context.partition_keys)


def picture(figure: Figure) -> dg.MetadataValue[Any]:
    """A figure as metadata that the Dagster UI shows."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")


def as_metadata(values: dict[str, Any]) -> dict[str, Any]:
    """What a service says it did, as metadata: figures become pictures, paths links."""
    return {name: _shown(value) for name, value in values.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, Path):
        return dg.MetadataValue.path(str(value))
    # matplotlib takes a second to import: a figure is known by what it can do
    return picture(value) if hasattr(value, "savefig") else value
