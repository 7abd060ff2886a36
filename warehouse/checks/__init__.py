"""What must hold before a build is published: reading the results of the check models, and the decision.

The checks themselves are dbt models (`dbt_project/models/checks/`); only the share of rejected records is checked here.
"""
