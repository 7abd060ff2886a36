"""Dagster's web server and daemon behind this project's access control.

Assets and jobs are in `orchestration`. What the dashboard's server needs too is in `paywall_warehouse.web`.
"""
