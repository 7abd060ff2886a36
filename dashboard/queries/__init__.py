"""Every query of the dashboard, over the published tables and table macros, one module for each subject.

No metric is defined here. Revenue, cost, profit, ratios and numbers of users come from `marts.kpis`,
`marts.usage`, `marts.cohorts` and the marts. These queries select, group and add up. Rows are dictionaries by
column name.
"""
