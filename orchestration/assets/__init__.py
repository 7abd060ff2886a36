"""Dagster's assets, one module for each stage of the flow. An asset's body is a few lines.

The work is done by plain functions of the lower rooms, which tests call without Dagster. Helpers for Dagster
that several stages share belong here too. Schedules, sensors and jobs do not.
"""
