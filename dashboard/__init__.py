"""The web dashboard, which shows the published file in a browser.

Pages, their queries, filters, texts and downloads belong here. Numbers come from the published file only; no
metric is defined here, because those are the marts'. Besides, the dashboard reads the log of runs and the
receiver's counts, and keeps saved views in the home.
"""
