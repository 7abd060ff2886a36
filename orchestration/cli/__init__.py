"""The command `paywall-warehouse`: its subcommands, what they print, and their exit codes.

The work of a subcommand is done in the lower rooms, or in `orchestration` if it needs Dagster. No rule about
data belongs here.
"""
