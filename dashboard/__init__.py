"""The web dashboard, which shows the published file in a browser.

Pages, their queries, filters, texts and downloads belong here. Nothing here reads anything but the published
file, and no metric is defined here: those are the marts'.
"""
