"""The job `ingest_parallel`: landed files are loaded in groups, one step per group.

Dagster's executors spread the steps over processes and machines.
"""

from collections import Counter
from collections.abc import Iterator

import dagster as dg

from ingestion.lake.batches import Lake
from ingestion.parallel import GROUP_BYTES, Group, Prepared, commit_groups, plan_groups, prepare
from ingestion.unread_files import unread_warnings
from orchestration.assets.raw import describe_load, load_metadata, raw_key
from orchestration.automation import refresh_job
from orchestration.retries import dagster_retries
from paywall_warehouse.settings import Settings

INGEST = "ingest_parallel"


class Grouping(dg.Config):
    """Configuration: how landed files are split into groups."""

    group_bytes: int = GROUP_BYTES
    """A group takes files in the order in which they landed, until it is larger than this."""


def ingest_job(settings: Settings, executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    """Return the job, to run on an executor.

    Its steps share only the home and Dagster's storage for outputs.
    """

    @dg.op(
        out=dg.DynamicOut(),
        description="Groups the files that have not been loaded, in the order in which they landed.",
    )
    def plan_ingestion(context: dg.OpExecutionContext, config: Grouping) -> Iterator[dg.DynamicOutput[Group]]:
        for warning in unread_warnings(settings):
            context.log.warning(warning)
        groups = plan_groups(settings, config.group_bytes)
        for group in groups:
            yield dg.DynamicOutput(
                group,
                mapping_key=f"batch_{group.number:08d}",
                metadata={"files": [file.path for file in group.files]},
            )

    @dg.op(
        description=(
            "Reads and validates the files of a group and stages the batch. Waits for no other worker."
        )
    )
    def load_group(context: dg.OpExecutionContext, group: Group) -> Prepared:
        with dagster_retries(context):
            return prepare(settings, group)

    @dg.op(
        description=(
            "Commits the staged batches in the order of their groups, so that ties between versions are"
            " resolved as in a single load."
        )
    )
    def commit_batches(context: dg.OpExecutionContext, prepared: list[Prepared]) -> None:
        batches: Counter[str] = Counter()
        with dagster_retries(context):
            for result in commit_groups(settings, prepared):
                for warning in result.warnings:
                    context.log.warning(warning)
                context.log.info(f"{result.source}, batch {result.batch_seq}: {describe_load(result)}")
                batches[result.source] += 1
                metadata = load_metadata(result, Lake(settings.home))
                context.log_event(dg.AssetMaterialization(raw_key(result.source), metadata=metadata))
        context.log.info(f"{batches.total()} batches" if batches else "nothing new")

    @dg.job(
        name=INGEST,
        description=(
            "Load new files with several workers. The job `refresh`, or `paywall-warehouse run`, then builds"
            " from the batches."
        ),
        executor_def=executor,
    )
    def ingest() -> None:
        commit_batches(plan_ingestion().map(load_group).collect())

    return ingest


def ingested_sensor(ingestion: dg.JobDefinition) -> dg.SensorDefinition:
    """Return the sensor that starts a run after `ingest_parallel` has loaded files."""

    @dg.run_status_sensor(
        name="ingested",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[ingestion],
        request_job=refresh_job,
        description="Starts a run when `ingest_parallel` has succeeded.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def ingested(context: dg.RunStatusSensorContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=context.dagster_run.run_id)

    return ingested
