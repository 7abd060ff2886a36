"""The results of the check models, and the decision whether a build may be published.

The checks themselves are dbt models (`dbt_project/models/checks/`). Only the share of rejected records is
checked here.
"""
