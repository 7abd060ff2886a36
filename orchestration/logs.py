"""Messages of Dagster that would mislead an operator."""

import logging

# The module of Dagster 1.13 that decides which step runs next.
PLAN_LOGGER = "dagster._core.execution.plan.active"
FALSE_ALARM = "Blocking asset check"


def quiet_false_alarms() -> None:
    """Drop Dagster's warning that a step runs although a blocking check of a skipped step has no result.

    The step does not run: the asset before it has no result either. A run with nothing new would print the
    warning 290 times.
    """
    logger = logging.getLogger(PLAN_LOGGER)
    if _is_no_false_alarm not in logger.filters:
        logger.addFilter(_is_no_false_alarm)


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not (message.startswith(FALSE_ALARM) and "emitted no result" in message)
