"""What all assets share: partitions, owners, the runtime they work with, pictures as metadata."""

from __future__ import annotations

import base64
import io
from datetime import date
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


def svg(figure: Figure) -> str:
    """A figure as SVG text, the same bytes for the same figure."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "simsight", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def picture(figure: Figure) -> dg.MetadataValue[Any]:
    """A figure as metadata that the Dagster UI shows."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")
