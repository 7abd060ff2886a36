"""Alerts: rules in the home's `alerts.yml`, their evaluation, and a history that survives rebuilds.

`orchestration/alert_delivery/` sends the messages. docs/alerts.md explains the file.
"""
