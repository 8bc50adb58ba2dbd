"""What 1NCE's Data Streamer brought, by webhook and by files."""

import dagster as dg

from assets.common import OWNERS, RuntimeParam
from resources.tracing import span
from services.anomalies.live import detect_live
from services.ingest.stream import process_batches
from services.ingest.stream_files import UnreadableFileError, new_files, store_file

TURN = "stream"  # one step at a time works on the stream of an organization


@dg.asset(
    deps=["sims"],
    group_name="files_and_stream",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "core.stream_usage"},
)
def stream_records(runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Usage and event records of 1NCE's Data Streamer: preliminary data of days that sim_usage has not closed yet.

    Source: POSTs to `/streams/1nce/{stream_id}` and files of SIMSIGHT_STREAM_FILES, kept in raw.stream_batches. Usage
    goes to core.stream_usage, one row a record and UTC day; events go to core.sim_events. Stream and system of record
    (sim_usage) are two views of the same bytes and are never added: core.sim_usage_early_v1 combines them. Records
    that break a rule are in ops.quarantine. An anomaly on a day under way is found at once (predictions.anomalies_v1,
    live).

    If it is red: records wait in raw.stream_batches and none is lost. Open the failed run, mend what its last
    message says; the next records, or the job `process_stream`, take them all in.
    """
    with runtime.turn(TURN):
        done = process_batches(runtime.database, now=runtime.clock())
        with span("detect live anomalies", follows=done.traces):
            found = detect_live(runtime)
        return dg.MaterializeResult(metadata=done.metadata() | found)


@dg.asset(
    group_name="files_and_stream",
    kinds={"python", "json", "csv"},
    owners=OWNERS,
    metadata={"dagster/table_name": "raw.stream_batches"},
)
def stream_file_batches(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Records from the new files of SIMSIGHT_STREAM_FILES, a folder or bucket; stream_records processes them.

    A file that cannot be read is noted in ops.quarantine and stops no other. Move a local file into the folder when it
    is complete.

    If it is red: some files were not read. The failed run names them and says why; give Simsight the right to read
    them, and they are read by the next run.
    """
    where = runtime.settings.stream_files
    if where is None:
        raise dg.Failure("SIMSIGHT_STREAM_FILES is not set: nothing says where the files are", allow_retries=False)
    records, unreadable, failed = 0, 0, []
    with runtime.turn(TURN):
        files = new_files(runtime.database, where)
        for file in files:
            try:
                records += store_file(runtime.database, where, file, now=runtime.clock())
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
