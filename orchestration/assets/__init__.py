"""Dagster's assets, one module for each stage of the flow. An asset's body is a few lines.

The work is done by plain functions of the lower rooms, which tests call without Dagster. What several stages
need of Dagster is here too; schedules, sensors and jobs are not.
"""
