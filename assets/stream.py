"""What 1NCE's Data Streamer brought, by webhook and by files."""

import dagster as dg

from assets.common import OWNERS, RuntimeParam
from services.anomalies.live import detect_live
from services.ingest.stream import process_batches
from services.ingest.stream_files import UnreadableFileError, land_file, new_files

# what works on the stream runs one at a time
POOL = "stream"


@dg.asset(
    deps=["sims"],
    group_name="ingest",
    kinds={"python", "timescaledb"},
    owners=OWNERS,
    metadata={"dagster/table_name": "core.stream_usage"},
    pool=POOL,
)
def stream_records(runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Usage and event records of 1NCE's Data Streamer: the early view of days that the book (sim_usage) has not closed yet.

    Source: POSTs to `/streams/1nce/{stream_id}` and files of SIMSIGHT_STREAM_FILES, kept in raw.stream_batches. Usage goes to
    core.stream_usage, one row a record and UTC day; events go to core.sim_events. Stream and book are two views of the same
    bytes and are never added: core.sim_usage_early_v1 puts them together. Records that break a rule are in ops.quarantine.
    What is an anomaly already on a day under way is found at once (predictions.anomalies_v1, live).
    """
    done = process_batches(runtime.database, now=runtime.clock())
    return dg.MaterializeResult(metadata=done.metadata() | detect_live(runtime))


@dg.asset(
    group_name="ingest",
    kinds={"python", "json", "csv"},
    owners=OWNERS,
    metadata={"dagster/table_name": "raw.stream_batches"},
    pool=POOL,
)
def stream_file_batches(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Stream records from the files of SIMSIGHT_STREAM_FILES that are new, a folder or bucket; stream_records takes them up.

    A file that cannot be read is noted in ops.quarantine and stops no other. A local file should be moved into the folder
    when it is complete.
    """
    where = runtime.settings.stream_files
    if where is None:
        raise dg.Failure("SIMSIGHT_STREAM_FILES is not set: nothing says where the files are", allow_retries=False)
    files, records, unreadable, failed = new_files(runtime.database, where), 0, 0, []
    for file in files:
        try:
            records += land_file(runtime.database, where, file, now=runtime.clock())
        except UnreadableFileError as error:
            unreadable += 1
            context.log.warning(f"{file.path}: {error}")
        except OSError as error:  # not ours to read, or out of reach: the next run tries again
            failed.append(f"{file.path}: {error.strerror or error}")
    if failed:
        raise dg.Failure(f"{len(failed)} of {len(files)} files could not be opened: {'; '.join(failed[:10])}")
    return dg.MaterializeResult(
        metadata={"files": len(files), "files unreadable": unreadable, "dagster/row_count": records}
    )
