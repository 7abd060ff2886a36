"""The command `paywall-warehouse`: its subcommands, what they print, and their exit codes.

What a subcommand does is in the lower rooms, or in `orchestration` where Dagster is needed. No rule about data
belongs here.
"""
