"""The webhook receiver: it checks deliveries of Paywalls.ai, stores them in the landing area, then
acknowledges them.

It does not interpret an event: loading the stored deliveries belongs to the load of the source `events`.
"""
