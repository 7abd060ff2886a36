"""The warehouse: from the lake to a checked, published file. The only package that knows the engines.

The plan of a build, dbt, the engines, the checks before publication and publication itself belong here.
Nothing here reads landed files, writes exports or imports Dagster.
"""
