"""Dagster and the command line: assets, checks, schedules, sensors, and the `paywall-warehouse` command.

The work itself belongs in the lower rooms: no rule about records, no SQL of a model, and no file format is
here.
"""
