"""Erasing a person: a pseudonym replaces the id in the lake, in landed files, and in files that land later.

The registry of erased persons is a file of the lake (`ingestion/lake/erasures.py`). What was built from the
lake is not changed here: the caller passes a function that drops it.
"""
