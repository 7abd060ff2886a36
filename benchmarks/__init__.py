"""Measurements of the whole command beside hand-written SQL."""
