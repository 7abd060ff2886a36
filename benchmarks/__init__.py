"""Benchmarks: the whole command and its parts, compared with hand-written SQL and with other tools.

Measurements and the files of their results belong here. Tests of correctness do not.
"""
