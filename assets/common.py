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
# pixels: a wider image does not fit the column of values on an asset's page, and cuts the texts beside it off as well
SHOWN_WIDTH = 460
WHOLE_DPI = 110  # of the whole image behind it
SHOWN_CHARACTERS = 1_000  # of Markdown: the UI hides a longer text behind a button
OWNERS = ["team:data"]
# of what 1NCE is asked for
IF_RED = (
    "If it is red: see the failed run's last message. Wrong credentials: set ONCE_USERNAME and ONCE_PASSWORD and check "
    "them with `simsight doctor`. 1NCE out of reach: nothing is to be done, the next hourly run goes on where this one "
    "stopped. What was stored before stays."
)
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

    The UI shows Markdown of less than SHOWN_CHARACTERS by itself: too few for an image. So the image is a file beside
    the run's logs, from where the UI's server gives it out, and a click on it gives the whole one. Without the folder
    of these logs (SIMSIGHT_DAGSTER_FOLDER) the image is in the Markdown.
    """
    from matplotlib.image import thumbnail  # takes a second to import

    drawn, shown = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=WHOLE_DPI)
    drawn.seek(0)
    # a third of what drawing it again costs
    thumbnail(drawn, shown, min(1, SHOWN_WIDTH / (figure.get_figwidth() * WHOLE_DPI)), interpolation="hanning")
    image, folder = shown.getvalue(), os.environ.get("SIMSIGHT_DAGSTER_FOLDER")
    if not folder:
        return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(image).decode()})")
    run, stem = (
        context.run.run_id,
        f"{re.sub('[^a-z0-9]+', '-', name.lower())}-{hashlib.sha256(image).hexdigest()[:12]}",
    )
    plots = Path(folder) / run / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    (plots / f"{stem}.png").write_bytes(image)
    (plots / f"{stem}-whole.png").write_bytes(drawn.getvalue())
    there = f"/logs/{run}/plots/{stem}"
    return dg.MetadataValue.md(f"[![{name}]({there}/png)]({there}-whole/png)")


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
