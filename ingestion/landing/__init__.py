"""The landing area: listing, opening and writing landed files, in a local folder or behind an fsspec URL.

Nothing here looks into a file; reading and checking content belongs to `ingestion/readers/`.
"""
