"""The delivery of alerts: what a message contains, the routes by which it leaves, and repeated tries.

What an alert is, and when it opens, is decided in `warehouse/alerts/`.
"""
