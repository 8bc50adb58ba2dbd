"""Old runs of Dagster and MLflow are deleted, but for those that something rests on."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.maintenance import _delete_runs, run_history
from resources.runtime import Runtime
from services.models import champion_of
from tests.fleet import Truth, at

DAYS = dg.StaticPartitionsDefinition(["monday", "tuesday"])


@dg.asset
def stream() -> None:
    pass


@dg.asset(partitions_def=DAYS)
def usage() -> None:
    pass


def test_runs_go_but_for_those_that_made_the_newest_of_an_asset_or_of_a_day() -> None:
    with dg.DagsterInstance.ephemeral() as instance:

        def run(asset: dg.AssetsDefinition, partition: str | None = None) -> str:
            return dg.materialize([asset], instance=instance, partition_key=partition).run_id

        old, monday, again, tuesday = run(stream), run(usage, "monday"), run(usage, "monday"), run(usage, "tuesday")
        last = run(stream)

        @dg.job
        def noop() -> None:
            pass

        going = instance.create_run_for_job(noop).run_id
        records = instance.get_run_records()
        after = max(record.create_timestamp for record in records) + timedelta(hours=1)
        assert _delete_runs(instance, min(record.create_timestamp for record in records)) == 0, "none is that old"
        assert _delete_runs(instance, after) == 2
        assert {record.dagster_run.run_id for record in instance.get_run_records()} == {again, tuesday, last, going}
        assert not instance.all_logs(old)
        assert instance.get_materialized_partitions(usage.key) == {"monday", "tuesday"}
        assert _delete_runs(instance, after) == 0
        assert monday not in {again, tuesday}


def test_mlflows_runs_of_no_version_go_and_those_of_versions_stay(filled: tuple[Runtime, Truth]) -> None:
    runtime, _ = filled
    champion = champion_of(runtime)
    client = runtime.mlflow
    (experiment,) = client.search_experiments(filter_string="name = 'usage-forecaster'")
    failed, running = (client.create_run(experiment.experiment_id) for _ in range(2))
    client.log_text(failed.info.run_id, "half a model", "model.json")
    client.set_terminated(failed.info.run_id, "FAILED")

    def tidied(runtime: Runtime) -> int:
        with dg.DagsterInstance.ephemeral() as instance:
            ran = dg.materialize([run_history], instance=instance, resources={"runtime": runtime})
        (made,) = ran.asset_materializations_for_node("run_history")
        value = made.metadata["MLflow runs deleted"].value
        assert isinstance(value, int)
        return value

    ended = datetime.fromtimestamp(client.get_run(failed.info.run_id).info.end_time / 1000, UTC)
    assert tidied(runtime) == 0, "none is that old"
    with at(runtime, ended + timedelta(days=runtime.settings.run_days + 1)) as old:
        assert tidied(old) == 1
        assert tidied(old) == 0
    left = {run.info.run_id for run in client.search_runs([experiment.experiment_id], run_view_type=3)}
    assert {champion.run_id, running.info.run_id} <= left
    assert failed.info.run_id not in left
