"""The job `ingest_parallel`: landed files in groups, a step for each, which Dagster's executors spread over
processes and machines.
"""

from collections import Counter
from collections.abc import Iterator

import dagster as dg

from ingestion.lake.batches import Lake
from ingestion.parallel import GROUP_BYTES, Group, Prepared, commit_groups, plan_groups, prepare
from ingestion.sources.registry import SOURCES
from ingestion.unread_files import unread_warnings
from orchestration.assets.raw import describe_load, load_metadata
from orchestration.automation import refresh_job
from orchestration.retries import retried
from paywall_warehouse.settings import Settings

INGEST = "ingest_parallel"


class Grouping(dg.Config):
    """How landed files are split."""

    group_bytes: int = GROUP_BYTES
    """Files that landed one after the other make a group until they are larger than this."""


def ingest_job(settings: Settings, executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    """The job on an executor; its steps need nothing of each other but the home and Dagster's storage of
    outputs.
    """

    @dg.op(
        out=dg.DynamicOut(),
        description="Files that no batch knows, in groups: runs of files in the order in which they landed.",
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
            "Reads and judges the files of a group and keeps the batch aside; waits for no other worker."
        )
    )
    def load_group(context: dg.OpExecutionContext, group: Group) -> Prepared:
        with retried(context):
            return prepare(settings, group)

    @dg.op(
        description=(
            "Gives the batches their numbers in the order of the groups, so that ties between versions end as"
            " in a single load."
        )
    )
    def commit_batches(context: dg.OpExecutionContext, prepared: list[Prepared]) -> None:
        made: Counter[str] = Counter()
        with retried(context):
            for result in commit_groups(settings, prepared):
                for warning in result.warnings:
                    context.log.warning(warning)
                context.log.info(f"{result.source}, batch {result.batch_seq}: {describe_load(result)}")
                made[result.source] += 1
                metadata = load_metadata(result, Lake(settings.home))
                context.log_event(
                    dg.AssetMaterialization(["raw", SOURCES[result.source].table], metadata=metadata)
                )
        context.log.info(f"{made.total()} batches" if made else "nothing new")

    @dg.job(
        name=INGEST,
        description=(
            "Load what landed by several workers. The job `refresh`, or `paywall-warehouse run`, builds from"
            " the batches."
        ),
        executor_def=executor,
    )
    def ingest() -> None:
        commit_batches(plan_ingestion().map(load_group).collect())

    return ingest


def ingested_sensor(ingestion: dg.JobDefinition) -> dg.SensorDefinition:
    """Starts the run that builds from what workers have loaded."""

    @dg.run_status_sensor(
        name="ingested",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[ingestion],
        request_job=refresh_job,
        description="Starts a run when `ingest_parallel` has ended well.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def ingested(context: dg.RunStatusSensorContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=context.dagster_run.run_id)

    return ingested
