"""What all assets share: partitions, owners, the runtime they work with, pictures as metadata."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.runtime import Runtime
from resources.settings import load_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SETTINGS = load_settings()
# the days of usage: the present day is a partition too, its usage grows until it ends
DAYS = dg.DailyPartitionsDefinition(start_date=SETTINGS.first_day.isoformat(), timezone="UTC", end_offset=1)
# the days that predictions are made as of: the last one is the last complete day
AS_OF_DAYS = dg.DailyPartitionsDefinition(
    start_date=(SETTINGS.first_as_of or SETTINGS.first_day).isoformat(),
    timezone="UTC",
    end_offset=-SETTINGS.lateness_days,
)
SHOWN_WIDTH = 640  # pixels: a wider image does not fit the column of values in the UI
OWNERS = ["team:data"]
RuntimeParam = dg.ResourceParam[Runtime]


def as_of_days(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> list[date]:
    """The as-of days (partitions) that a run is to compute, oldest first."""
    return sorted(date.fromisoformat(key) for key in context.partition_keys)


def as_of_day(context: dg.AssetExecutionContext, runtime: Runtime) -> date:
    """The as-of day of a run: its partition, or the last complete day where the run has none."""
    return date.fromisoformat(context.partition_key) if context.has_partition_key else runtime.last_complete_day()


def picture(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, name: str, figure: Figure
) -> dg.MetadataValue[Any]:
    """A figure as metadata that the Dagster UI shows.

    The UI shows Markdown of less than 1,000 characters by itself, and hides a longer one behind a button: too few for
    an image. So the image is a file beside the run's logs, from where the UI's server gives it out. Without the folder
    of these logs (SIMSIGHT_DAGSTER_FOLDER) the image is in the Markdown.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=min(90, SHOWN_WIDTH / figure.get_figwidth()))
    image, folder = buffer.getvalue(), os.environ.get("SIMSIGHT_DAGSTER_FOLDER")
    if not folder:
        return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(image).decode()})")
    run, stem = (
        context.run.run_id,
        f"{re.sub('[^a-z0-9]+', '-', name.lower())}-{hashlib.sha256(image).hexdigest()[:12]}",
    )
    path = Path(folder) / run / "plots" / f"{stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image)
    return dg.MetadataValue.md(f"![{name}](/logs/{run}/plots/{stem}/png)")


def as_metadata(context: dg.AssetExecutionContext | dg.OpExecutionContext, values: dict[str, Any]) -> dict[str, Any]:
    """What a service says it did, as metadata: figures become pictures, paths and addresses links."""
    return {name: _shown(context, name, value) for name, value in values.items()}


def _shown(context: dg.AssetExecutionContext | dg.OpExecutionContext, name: str, value: Any) -> Any:
    if isinstance(value, Path):
        return dg.MetadataValue.path(str(value))
    if isinstance(value, str) and re.fullmatch(r"https?://\S+", value):
        return dg.MetadataValue.url(value)
    # matplotlib takes a second to import: a figure is known by what it can do
    return picture(context, name, value) if hasattr(value, "savefig") else value
