"""From landed files to validated, typed Parquet batches in the lake. A record that breaks a rule is a reject.

This room decides whether a record is valid, never what a number means: that belongs to the dbt models. It
imports neither Dagster nor dbt, and nothing of `warehouse/` or the rooms above it. Its packages, from low to
high: `validation`, `landing`, `pulls`, `readers`, `sources`, `lake`, then `receiver`, `stripe_pull`,
`postgres_pull` and `erasure`, then `staging`, and the modules beside them.
"""
