"""Exports: the published file as Parquet, CSV and JSON files for other programs, and their consumer's side.

Datasets, encodings, manifests, and the code that writes and mirrors them belong here. Nothing here reads a
build or imports Dagster or dbt.
"""
