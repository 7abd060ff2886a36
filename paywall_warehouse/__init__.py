"""What every room of the house shares: settings, the places under `WAREHOUSE_HOME`, atomic file
replacement.
"""
