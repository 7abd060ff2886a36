"""Dagster's assets, checks, schedule and sensor around ingestion, dbt and exports, and the
`paywall-warehouse` command.
"""
