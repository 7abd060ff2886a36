"""The pages of the dashboard, one module each.

A page lays out and labels what `dashboard.queries` returns. SQL and formatting do not belong here.
"""
