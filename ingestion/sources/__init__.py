"""What each folder of the landing area holds: the columns, rules and lake table of every source.

A new source is a module here and an entry in `registry.py`. Rules that several sources share belong to
`ingestion/validation/`.
"""
